//! A key, windows, a time and requests that the tests share.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use limited_core::{
    Backend, BucketQuota, ClaimKey, ClaimKind, ClaimRequest, Completion, Counter, Hit, Key, Owner, Refund,
    Result, StoredResult, Timestamp, Window, WindowLength,
};
use limited_mock::{MockBackend, Operation};

/// 2026-01-01T00:00:00Z, the start of an aligned minute.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

pub(crate) const FROM_FIRST_HIT: Window = Window::FromFirstHit { length: WindowLength::MINUTE };

pub(crate) fn user() -> Key<'static> {
    Key::new().user("7")
}

/// The counter of a key in the aligned minute that starts at [`NOW`].
pub(crate) fn in_this_minute<'a>(key: &'a Key<'a>) -> Counter<'a> {
    in_window(key, Window::aligned(NOW, WindowLength::MINUTE))
}

pub(crate) fn in_window<'a>(key: &'a Key<'a>, window: Window) -> Counter<'a> {
    in_bucket(key, window, 10)
}

/// Returns a counter that has this limit if it is a bucket, and a capacity that nothing exceeds.
pub(crate) fn in_bucket<'a>(key: &'a Key<'a>, window: Window, limit: u64) -> Counter<'a> {
    let counter = Counter::new("test", key, window).expect("a valid key");
    counter.with_bucket(BucketQuota::new(limit, u64::MAX))
}

/// Polls once, with a waker that wakes nothing.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub(crate) const OWNER: Owner = Owner(1);
pub(crate) const OTHER: Owner = Owner(2);

/// The end of the leases that tests request.
pub(crate) const UNTIL: Timestamp = Timestamp::from_secs(1_767_225_660);

pub(crate) fn once<'a>(key: &'a Key<'a>) -> ClaimKey<'a> {
    ClaimKey::new("test", ClaimKind::DoOnce, key).expect("a valid key")
}

pub(crate) const fn claim_of(owner: Owner) -> ClaimRequest<'static> {
    ClaimRequest::new(owner, UNTIL)
}

/// A completion with the value `7`, that never expires.
pub(crate) fn seven(owner: Owner) -> Completion<'static> {
    Completion::new(owner).with_result(StoredResult::Value("7".into()))
}

/// Calls any operation, as [`OWNER`] if it needs one.
pub(crate) async fn call(mock: &MockBackend, operation: Operation) -> Result<()> {
    let key = user();
    let (counter, once) = (in_this_minute(&key), once(&key));
    match operation {
        Operation::Increment => mock.increment(&counter, &Hit::new(1, 100), NOW).await.map(drop),
        Operation::IncrementAll => {
            let hits = [(counter, Hit::new(1, 100)), (in_window(&key, FROM_FIRST_HIT), Hit::new(1, 100))];
            mock.increment_all(&hits, NOW).await.map(drop)
        }
        Operation::Refund => mock.refund(&counter, &Refund::new(1, NOW), NOW).await.map(drop),
        Operation::Get => mock.get(&counter, NOW).await.map(drop),
        Operation::Reset => mock.reset(&counter, None, NOW).await,
        Operation::Claim => mock.claim(&once, &claim_of(OWNER), NOW).await.map(drop),
        Operation::Finish => mock.finish(&once, &seven(OWNER), NOW).await.map(drop),
        Operation::Renew => mock.renew(&once, OWNER, UNTIL, NOW).await.map(drop),
        Operation::Release => mock.release(&once, OWNER, NOW).await.map(drop),
        Operation::Find => mock.find(&once, NOW).await.map(drop),
        Operation::Forget => mock.forget(&once, NOW).await,
        other => panic!("this test does not call {other} yet"),
    }
}
