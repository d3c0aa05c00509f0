//! Several hits at once: what every backend checks, and an algorithm in turn for simple backends.

use crate::{
    Backend, BackendError, Counter, CounterState, Hit, Refund, Result, Timestamp, Window, bucket, sliding,
};

/// Maximum number of hits of one [`increment_all`](Backend::increment_all): as many as Amazon
/// DynamoDB writes in one transaction.
pub const MAX_HITS: usize = 100;

/// Checks the hits of one [`increment_all`](Backend::increment_all).
///
/// # Errors
///
/// [`Invalid`](BackendError::Invalid) if there are more than [`MAX_HITS`], if two of them are on the
/// same counter, if a sliding counter has no aligned window, or if a bucket has no quota.
pub fn check(hits: &[(Counter<'_>, Hit<'_>)]) -> Result<()> {
    if hits.len() > MAX_HITS {
        let number = hits.len();
        return Err(BackendError::invalid(format!("{number} hits at once; at most {MAX_HITS} are possible")));
    }
    for (index, (counter, _)) in hits.iter().enumerate() {
        if counter.is_sliding() {
            sliding::previous_window(counter)?;
        }
        bucket::quota(counter)?;
        if hits[..index].iter().any(|(other, _)| other.is_same(counter)) {
            return Err(BackendError::invalid("two hits at once on one counter; add their costs instead"));
        }
    }
    Ok(())
}

/// Counts hits [all or none](Backend::increment_all), one after the other. If one does not fit,
/// refunds those before it.
///
/// For backends that cannot do it in one step. It never admits too much. But other callers see hits
/// that are refunded later. A crash in between leaves them counted, and so does a future that is
/// dropped. A bucket that others hit meanwhile stays charged too.
///
/// The order of the hits is the same for every caller that sorts its counters in the same way; it
/// does not matter here, since no step waits for another.
///
/// # Errors
///
/// The errors of [`check`], [`Backend::increment`] and [`Backend::get`]. A hit that was counted
/// before an error is refunded; if that fails too, it stays counted. So it does after
/// [`Unsupported`](BackendError::Unsupported), if a hit does not fit and the backend has no
/// [`refund`](Backend::refund).
pub async fn increment_in_turn<B: Backend + ?Sized>(
    backend: &B,
    hits: &[(Counter<'_>, Hit<'_>)],
    now: Timestamp,
) -> Result<Vec<CounterState>> {
    check(hits)?;
    // Conditions first, since they need no refund. Buckets last: a window gets a hit back however
    // much time the steps take, and a bucket may not.
    let rank = |index: &usize| match (hits[*index].1.cost, hits[*index].0.window()) {
        (0, _) => 0,
        (_, Window::Bucket { .. }) => 2,
        _ => 1,
    };
    let mut order: Vec<_> = (0..hits.len()).collect();
    order.sort_by_key(rank);
    let hits: Vec<_> = order.iter().map(|&index| hits[index]).collect();
    let states = increment_in_order(backend, &hits, now).await?;
    let mut states: Vec<_> = order.into_iter().zip(states).collect();
    states.sort_by_key(|(index, _)| *index);
    Ok(states.into_iter().map(|(_, state)| state).collect())
}

/// [`increment_in_turn`] in the order of the hits.
async fn increment_in_order<B: Backend + ?Sized>(
    backend: &B,
    hits: &[(Counter<'_>, Hit<'_>)],
    now: Timestamp,
) -> Result<Vec<CounterState>> {
    let mut states = Vec::with_capacity(hits.len());
    for (counter, hit) in hits {
        match backend.increment(counter, hit, now).await {
            Ok(state) => {
                let counted = state.counted;
                states.push(state);
                if !counted {
                    break;
                }
            }
            Err(error) => {
                // The error of the hit says more than one of its refunds.
                let _ = refund_all(backend, hits, &mut states, now).await;
                return Err(error);
            }
        }
    }
    if states.iter().all(|state| state.counted) {
        return Ok(states);
    }
    // The last one was not counted, and keeps the state of its refusal.
    let refused = states.pop();
    refund_all(backend, hits, &mut states, now).await?;
    states.extend(refused);
    for (counter, hit) in &hits[states.len()..] {
        let mut state = backend.get(counter, now).await?;
        state.counted = fits(counter, hit, &state, now);
        states.push(state);
    }
    Ok(states)
}

/// Returns whether a hit fits on a counter that was read.
fn fits(counter: &Counter<'_>, hit: &Hit<'_>, state: &CounterState, now: Timestamp) -> bool {
    if counter.is_sliding() {
        return sliding::with_previous(hit, state.previous, counter.window(), now)
            .apply(state.value)
            .is_some();
    }
    hit.apply(state.value).is_some()
}

/// Refunds hits that were counted, the last one first. The state of each becomes that after its
/// refund, and still reports that the hit fits.
///
/// A bucket gets its hit back only if no other hit followed. The steps take time, which pays a
/// charge back too, and `now` does not show how much.
///
/// # Errors
///
/// [`Unsupported`](BackendError::Unsupported) if the backend has no refunds.
async fn refund_all<B: Backend + ?Sized>(
    backend: &B,
    hits: &[(Counter<'_>, Hit<'_>)],
    states: &mut [CounterState],
    now: Timestamp,
) -> Result<()> {
    for ((counter, hit), state) in hits.iter().zip(states).rev() {
        let refund = Refund::new(hit.cost, now).with_window_id(hit.window_id);
        let window_id = state.meta.as_ref().map(|meta| meta.id);
        let refund = Refund { window_id: window_id.unwrap_or(refund.window_id), ..refund };
        let is_bucket = matches!(counter.window(), Window::Bucket { .. });
        let refund = if is_bucket { refund.only_if_value(state.value) } else { refund };
        // If it fails, the hit stays counted. That refuses too much, and never admits too much.
        match backend.refund(counter, &refund, now).await {
            Ok(after) if is_bucket && !after.counted => {}
            Ok(after) => *state = CounterState { counted: true, previous: state.previous, ..after },
            Err(error @ BackendError::Unsupported(_)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}
