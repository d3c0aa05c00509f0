//! Pointers and trait objects call the same operation of the backend that they point to, also if
//! the trait has a default for it.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, Immediate, InvalidKey, Key, LeaseStatus, Owner, Record, Refund, Result, Timestamp,
    Window, WindowId, WindowLength, async_trait,
};

/// Returns an error from every operation that names the operation and its arguments. No default
/// does that.
#[derive(Debug)]
struct Named;

impl Immediate for Named {}

fn named(operation: &str, subject: impl Debug, arguments: impl Debug, now: Timestamp) -> BackendError {
    BackendError::Other(format!("{operation}: {subject:?}, {arguments:?}, {now:?}").into())
}

/// Creates two things from one list: a backend with every operation, and the assertion that a
/// wrapper forwards each. Clippy fails if the trait has an operation that is missing in the list.
macro_rules! operations {
    (
        counters { $($operation:ident($($argument:ident: $type:ty = $value:expr)?) -> $result:ty;)+ }
        claims { $($claims:ident($($what:ident: $what_type:ty = $what_value:expr),*) -> $claims_result:ty;)+ }
    ) => {
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl Backend for Named {
            fn try_increment(
                &self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp,
            ) -> Option<Result<CounterState>> {
                Some(Err(named("try_increment", counter, hit, now)))
            }

            fn try_increment_all(
                &self, hits: &[(Counter<'_>, Hit<'_>)], now: Timestamp, states: &mut Vec<CounterState>,
            ) -> Option<Result<()>> {
                Some(Err(named("try_increment_all", hits, states, now)))
            }

            async fn increment_all(
                &self, hits: &[(Counter<'_>, Hit<'_>)], now: Timestamp,
            ) -> Result<Vec<CounterState>> {
                Err(named("increment_all", hits, (), now))
            }
        $(
            async fn $operation(
                &self, counter: &Counter<'_>, $($argument: $type,)? now: Timestamp,
            ) -> Result<$result> {
                Err(named(stringify!($operation), counter, ($($argument,)?), now))
            }
        )+
        $(
            async fn $claims(
                &self, key: &ClaimKey<'_>, $($what: $what_type,)* now: Timestamp,
            ) -> Result<$claims_result> {
                Err(named(stringify!($claims), key, ($($what,)*), now))
            }
        )+}

        fn assert_forwards(wrapper: impl Backend) {
            let key = Key::from("key");
            for counter in [counter(&key).unwrap(), counter(&key).unwrap().sliding()] {
                let result = wrapper.try_increment(&counter, &HIT, NOW);
                let expected = named("try_increment", &counter, &HIT, NOW);
                assert_eq!(result.unwrap().unwrap_err().to_string(), expected.to_string());
                let hits = [(counter, HIT), (counter, HIT)];
                let mut states = vec![CounterState::default()];
                let expected = named("try_increment_all", hits, &states, NOW);
                let result = wrapper.try_increment_all(&hits, NOW, &mut states);
                assert_eq!(result.unwrap().unwrap_err().to_string(), expected.to_string());
                let future = wrapper.increment_all(&hits, NOW);
                assert_send(&future);
                let expected = named("increment_all", hits, (), NOW);
                assert_eq!(pollster::block_on(future).unwrap_err().to_string(), expected.to_string());
                $({
                    let future = wrapper.$operation(&counter, $($value,)? NOW);
                    assert_send(&future);
                    let expected = named(stringify!($operation), &counter, ($($value,)?), NOW);
                    assert_eq!(pollster::block_on(future).unwrap_err().to_string(), expected.to_string());
                })+
            }
            let claimed = ClaimKey::new("namespace", ClaimKind::DoOnce, &key).unwrap();
            $({
                let future = wrapper.$claims(&claimed, $($what_value,)* NOW);
                assert_send(&future);
                let expected = named(stringify!($claims), &claimed, ($($what_value,)*), NOW);
                assert_eq!(pollster::block_on(future).unwrap_err().to_string(), expected.to_string());
            })+
        }
    };
}

operations! {
    counters {
        increment(hit: &Hit<'_> = &HIT) -> CounterState;
        refund(refund: &Refund = &REFUND) -> CounterState;
        get() -> CounterState;
        reset(window: Option<WindowId> = WINDOW) -> ();
    }
    claims {
        claim(request: &ClaimRequest<'_> = &REQUEST) -> Acquisition;
        finish(completion: &Completion<'_> = &COMPLETION) -> FinishResult;
        renew(owner: Owner = OWNER, expires_at: Timestamp = EXPIRES_AT) -> LeaseStatus;
        release(owner: Owner = OWNER) -> LeaseStatus;
        find() -> Option<Record>;
        forget() -> ();
    }
}

const NOW: Timestamp = Timestamp::from_secs(90);
const OWNER: Owner = Owner(9);
const EXPIRES_AT: Timestamp = Timestamp::from_secs(100);
const REQUEST: ClaimRequest<'static> = ClaimRequest::new(OWNER, EXPIRES_AT);
static COMPLETION: Completion<'static> = Completion::new(OWNER);
const REFUND: Refund = Refund::new(2, NOW).only_if_value(7);
const WINDOW: Option<WindowId> = Some(WindowId(7));
const HIT: Hit<'static> = Hit::new(2, 5).with_floor(1).with_window_meta(WindowId(3), Some("metadata"));

/// Returns a counter whose window has a previous one, which a default would read.
fn counter<'a>(key: &'a Key<'a>) -> Result<Counter<'a>, InvalidKey> {
    Counter::new("namespace", key, Window::aligned(NOW, WindowLength::MINUTE))
}

fn assert_send<T: Send>(_: &T) {}

fn assert_immediate(_: impl Immediate) {}

#[test]
fn pointers_forward_every_operation() {
    assert_forwards(Named);
    assert_forwards(&Named);
    assert_forwards(Box::new(Named));
    assert_forwards(Arc::new(Named));
    assert_forwards(Arc::new(Box::new(Arc::new(&Named))));
}

#[test]
fn pointers_to_an_immediate_backend_are_immediate() {
    assert_immediate(Named);
    assert_immediate(&Named);
    assert_immediate(Box::new(Named));
    assert_immediate(Arc::new(Named));
    assert_immediate(Arc::new(Box::new(Arc::new(&Named))));
    let object: Arc<dyn Immediate> = Arc::new(Named);
    assert_immediate(&object);
    assert_forwards(object);
}

#[test]
fn trait_objects_forward_every_operation() {
    let object: &dyn Backend = &Named;
    assert_forwards(object);
    let object: Box<dyn Backend> = Box::new(Named);
    assert_forwards(object);
    let object: Arc<dyn Backend> = Arc::new(Named);
    assert_forwards(&object);
    assert_forwards(Arc::new(Box::new(object)));
}

#[test]
fn borrowed_trait_object_is_a_backend_for_many_threads() {
    let owner = Named;
    let object: Arc<dyn Backend + '_> = Arc::new(&owner);
    thread::scope(|scope| {
        scope.spawn(|| assert_forwards(&object));
        scope.spawn(|| assert_forwards(Arc::clone(&object)));
    });
}
