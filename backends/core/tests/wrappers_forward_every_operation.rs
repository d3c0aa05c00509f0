//! Pointers and trait objects ask the backend within for the very operation that they are asked for, also where the
//! trait has a default for it.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, Counter, CounterState,
    DynBackend, FinishResult, Hit, ImmediateBackend, InvalidKey, Key, LeaseStatus, Owner, Record, Timestamp,
    Window, WindowId, WindowLength,
};

/// Answers every operation with an error that names it and its arguments: what no default would answer.
#[derive(Debug)]
struct Named;

fn named(operation: &str, subject: impl Debug, arguments: impl Debug, now: Timestamp) -> BackendError {
    BackendError::Other(format!("{operation}: {subject:?}, {arguments:?}, {now:?}").into())
}

/// Makes of one list the backend that has every operation, and the assertion that a wrapper forwards it. Whoever adds
/// an operation to a trait, and not to the list, is told by the lint.
macro_rules! operations {
    (
        Backend { $($operation:ident($($argument:ident: $type:ty = $value:expr)?) -> $answer:ty;)+ }
        Backend at once { $($unwaited:ident($asked:ident: $asked_type:ty = $asked_value:expr);)+ }
        Claims { $($claims:ident($($what:ident: $what_type:ty = $what_value:expr),*) -> $told:ty;)+ }
        ImmediateBackend { $($at_once:ident($($its:ident: $its_type:ty = $its_value:expr)?) -> $its_answer:ty;)+ }
    ) => {
        #[deny(clippy::missing_trait_methods)]
        impl Backend for Named {$(
            async fn $operation(
                &self, counter: &Counter<'_>, $($argument: $type,)? now: Timestamp,
            ) -> Result<$answer, BackendError> {
                Err(named(stringify!($operation), counter, ($($argument,)?), now))
            }
        )+
        $(
            fn $unwaited(
                &self, counter: &Counter<'_>, $asked: $asked_type, now: Timestamp,
            ) -> Option<Result<CounterState, BackendError>> {
                Some(Err(named(stringify!($unwaited), counter, $asked, now)))
            }
        )+
        $(
            async fn $claims(
                &self, key: &ClaimKey<'_>, $($what: $what_type,)* now: Timestamp,
            ) -> Result<$told, BackendError> {
                Err(named(stringify!($claims), key, ($($what,)*), now))
            }
        )+}

        #[deny(clippy::missing_trait_methods)]
        impl ImmediateBackend for Named {$(
            fn $at_once(
                &self, counter: &Counter<'_>, $($its: $its_type,)? now: Timestamp,
            ) -> Result<$its_answer, BackendError> {
                Err(named(stringify!($at_once), counter, ($($its,)?), now))
            }
        )+}

        fn assert_forwards(wrapper: impl Backend) {
            let key = Key::from("key");
            let counter = counter(&key).unwrap();
            $({
                let future = wrapper.$operation(&counter, $($value,)? NOW);
                assert_send(&future);
                let expected = named(stringify!($operation), &counter, ($($value,)?), NOW);
                assert_eq!(pollster::block_on(future).unwrap_err().to_string(), expected.to_string());
            })+
            $({
                let answer = wrapper.$unwaited(&counter, $asked_value, NOW);
                let expected = named(stringify!($unwaited), &counter, $asked_value, NOW);
                assert_eq!(answer.unwrap().unwrap_err().to_string(), expected.to_string());
            })+
            let claimed = ClaimKey::new("namespace", ClaimKind::DoOnce, &key).unwrap();
            $({
                let future = wrapper.$claims(&claimed, $($what_value,)* NOW);
                assert_send(&future);
                let expected = named(stringify!($claims), &claimed, ($($what_value,)*), NOW);
                assert_eq!(pollster::block_on(future).unwrap_err().to_string(), expected.to_string());
            })+
        }

        fn assert_forwards_at_once(wrapper: impl ImmediateBackend) {
            let key = Key::from("key");
            let counter = counter(&key).unwrap();
            $({
                let answer = wrapper.$at_once(&counter, $($its_value,)? NOW);
                let expected = named(stringify!($at_once), &counter, ($($its_value,)?), NOW);
                assert_eq!(answer.unwrap_err().to_string(), expected.to_string());
            })+
        }
    };
}

operations! {
    Backend {
        increment(hit: &Hit<'_> = &HIT) -> CounterState;
        get() -> CounterState;
        reset(window_id: Option<WindowId> = GENERATION) -> ();
        increment_sliding(hit: &Hit<'_> = &HIT) -> CounterState;
        get_sliding() -> CounterState;
    }
    Backend at once {
        increment_at_once(hit: &Hit<'_> = &HIT);
        increment_sliding_at_once(hit: &Hit<'_> = &HIT);
    }
    Claims {
        claim(request: &ClaimRequest<'_> = &REQUEST) -> Acquisition;
        finish(completion: &Completion<'_> = &COMPLETION) -> FinishResult;
        renew(owner: Owner = OWNER, expires_at: Timestamp = UNTIL) -> LeaseStatus;
        release(owner: Owner = OWNER) -> LeaseStatus;
        find() -> Option<Record>;
        forget() -> ();
    }
    ImmediateBackend {
        increment_now(hit: &Hit<'_> = &HIT) -> CounterState;
        get_now() -> CounterState;
        reset_now(window_id: Option<WindowId> = GENERATION) -> ();
        increment_sliding_now(hit: &Hit<'_> = &HIT) -> CounterState;
        get_sliding_now() -> CounterState;
    }
}

const NOW: Timestamp = Timestamp::from_secs(90);
const OWNER: Owner = Owner(9);
const UNTIL: Timestamp = Timestamp::from_secs(100);
const REQUEST: ClaimRequest<'static> = ClaimRequest::new(OWNER, UNTIL);
static COMPLETION: Completion<'static> = Completion::new(OWNER);
const GENERATION: Option<WindowId> = Some(WindowId(7));
const HIT: Hit<'static> = Hit::new(2, 5).with_floor(1).with_window_meta(WindowId(3), Some("note"));

/// A counter whose window has one before it, which a default would ask for.
fn counter<'a>(key: &'a Key<'a>) -> Result<Counter<'a>, InvalidKey> {
    Counter::new("namespace", key, Window::aligned(NOW, WindowLength::MINUTE))
}

fn assert_send<T: Send>(_: &T) {}

#[test]
fn pointers_forward_every_operation() {
    assert_forwards(Named);
    assert_forwards(&Named);
    assert_forwards(Box::new(Named));
    assert_forwards(Arc::new(Named));
    assert_forwards(Arc::new(Box::new(Arc::new(&Named))));
}

#[test]
fn pointers_forward_every_immediate_operation() {
    assert_forwards_at_once(Named);
    assert_forwards_at_once(&Named);
    assert_forwards_at_once(Box::new(Named));
    assert_forwards_at_once(Arc::new(Named));
    assert_forwards_at_once(Arc::new(Box::new(Arc::new(&Named))));
}

#[test]
fn trait_objects_forward_every_operation() {
    let object: &dyn DynBackend = &Named;
    assert_forwards(object);
    let object: Box<dyn DynBackend> = Box::new(Named);
    assert_forwards(object);
    let object: Arc<dyn DynBackend> = Arc::new(Named);
    assert_forwards(&object);
    assert_forwards(Arc::new(Box::new(object)));
}

#[test]
fn a_trait_object_of_a_backend_that_borrows_is_a_backend_for_many_threads() {
    let owner = Named;
    let object: Arc<dyn DynBackend + '_> = Arc::new(&owner);
    thread::scope(|scope| {
        scope.spawn(|| assert_forwards(&object));
        scope.spawn(|| assert_forwards(Arc::clone(&object)));
    });
}
