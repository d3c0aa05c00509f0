//! A backend that records each call: its duration, its error, and what became of a claim.

use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimRequest, Completion, Counter, CounterState, FinishResult, Hit,
    Immediate, LeaseStatus, Operation, Owner, Record, Refund, Result, Timestamp, WindowId, async_trait,
};

use super::Instrumented;
#[cfg(feature = "metrics")]
use super::metrics;
use super::operation::Call;
#[cfg(feature = "tracing")]
use super::tracing;

/// Awaits a call in its span, and records it.
async fn record<T>(call: Call<'_>, future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    #[cfg(feature = "tracing")]
    let future = ::tracing::Instrument::instrument(future, tracing::call_span(&call));
    let result = future.await;
    record_result(&call, &result);
    result
}

fn record_result<T>(call: &Call<'_>, result: &Result<T>) {
    let error = result.as_ref().err();
    #[cfg(feature = "metrics")]
    metrics::record_call(call, error);
    #[cfg(feature = "tracing")]
    tracing::record_call(call, error);
}

// A method that is missing here would not be recorded, or would silently run its default.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend> Backend for Instrumented<B> {
    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState>> {
        let call = Call::on_counter(Operation::Increment, counter);
        // If the call would have to wait, `increment` follows, and is recorded.
        let result = B::try_increment(self, counter, hit, now)?;
        #[cfg(feature = "tracing")]
        let _entered = tracing::call_span(&call).entered();
        record_result(&call, &result);
        Some(result)
    }

    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        record(Call::on_counter(Operation::Increment, counter), B::increment(self, counter, hit, now)).await
    }

    fn try_increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<Result<()>> {
        let Some((counter, _)) = hits.first() else { return B::try_increment_all(self, hits, now, states) };
        let call = Call::on_counter(Operation::IncrementAll, counter);
        // If the call would have to wait, `increment_all` follows, and is recorded.
        let result = B::try_increment_all(self, hits, now, states)?;
        #[cfg(feature = "tracing")]
        let _entered = tracing::call_span(&call).entered();
        record_result(&call, &result);
        Some(result)
    }

    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        // The first counter stands for all of them.
        let Some((counter, _)) = hits.first() else { return B::increment_all(self, hits, now).await };
        record(Call::on_counter(Operation::IncrementAll, counter), B::increment_all(self, hits, now)).await
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        record(Call::on_counter(Operation::Refund, counter), B::refund(self, counter, refund, now)).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        record(Call::on_counter(Operation::Get, counter), B::get(self, counter, now)).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        record(Call::on_counter(Operation::Reset, counter), B::reset(self, counter, window, now)).await
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        let result = record(Call::on_claim(Operation::Claim, key), B::claim(self, key, request, now)).await;
        #[cfg(feature = "tracing")]
        tracing::record_claim(key, &result);
        result
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        let result =
            record(Call::on_claim(Operation::Finish, key), B::finish(self, key, completion, now)).await;
        #[cfg(feature = "tracing")]
        tracing::record_finish(key, &result);
        result
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        let result =
            record(Call::on_claim(Operation::Renew, key), B::renew(self, key, owner, expires_at, now)).await;
        #[cfg(feature = "tracing")]
        tracing::record_renewal(key, &result);
        result
    }

    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        let result = record(Call::on_claim(Operation::Release, key), B::release(self, key, owner, now)).await;
        #[cfg(feature = "tracing")]
        tracing::record_release(key, &result);
        result
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        record(Call::on_claim(Operation::Find, key), B::find(self, key, now)).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        let result = record(Call::on_claim(Operation::Forget, key), B::forget(self, key, now)).await;
        #[cfg(feature = "tracing")]
        tracing::record_forget(key, &result);
        result
    }
}

impl<B: Immediate> Immediate for Instrumented<B> {}
