//! Arithmetic of sliding windows: the weight of the previous window, and a two-step algorithm for
//! simple backends.
//!
//! A sliding window admits `cost` if
//! `(current + cost) · length + previous · (length − elapsed) ≤ limit · length`. All terms but the
//! weight of the previous window are whole. So this is `current + cost ≤ limit − weight`, with the
//! weight rounded up: one hit with a lower ceiling. Nothing else is rounded, and nothing overflows.

use crate::{Backend, BackendError, Counter, CounterState, Hit, Result, Timestamp, Window, WindowLength};

/// Returns the weight of the previous window, `elapsed` nanoseconds after the start of the current
/// one: `previous · (length − elapsed) / length`, rounded up.
#[inline]
pub const fn weight(previous: u128, elapsed: u64, length: WindowLength) -> u128 {
    let (length, left) = (length.as_nanos(), length.as_nanos().saturating_sub(elapsed));
    if previous == 0 {
        return 0;
    }
    if previous <= u64::MAX as u128 {
        // Fast path: a product of 64 bits is common, and its division is many times faster.
        #[expect(clippy::cast_possible_truncation, reason = "compared just above")]
        if let Some(product) = (previous as u64).checked_mul(left) {
            return product.div_ceil(length) as u128;
        }
    }
    weight_in_128_bits(previous, left as u128, length as u128)
}

/// Returns the [`weight`] for every value.
const fn weight_in_128_bits(previous: u128, left: u128, length: u128) -> u128 {
    // The two parts keep every product below length², however large `previous` is.
    (previous / length) * left + ((previous % length) * left).div_ceil(length)
}

/// Returns the hit for the current window: with a ceiling that is lower by the [`weight`] of the
/// previous window.
#[inline]
pub fn with_previous<'a>(hit: &Hit<'a>, previous: u128, window: Window, now: Timestamp) -> Hit<'a> {
    let Window::Aligned { start, length } = window else { return *hit };
    let elapsed = now.as_nanos().saturating_sub(start.as_nanos());
    let weight = weight(previous, elapsed, length);
    match hit.ceiling.checked_sub(weight) {
        Some(ceiling) => Hit { ceiling, ..*hit },
        // The weight alone exceeds the ceiling. A cost above the ceiling is refused at any value.
        None => Hit { ceiling: 0, cost: hit.cost.max(1), ..*hit },
    }
}

/// Counts a hit on a [sliding](Counter::is_sliding) counter in two steps: reads the previous
/// window, then increments the current one with a lower ceiling.
///
/// For backends that cannot do it in one step. Only late hits change a window that has ended, so
/// the second step alone decides.
///
/// # Errors
///
/// The errors of [`Backend::get`] and [`Backend::increment`]; [`Invalid`](BackendError::Invalid) if
/// the window is not aligned.
pub async fn increment<B: Backend + ?Sized>(
    backend: &B,
    counter: &Counter<'_>,
    hit: &Hit<'_>,
    now: Timestamp,
) -> Result<CounterState> {
    let previous = previous_value(backend, counter, now).await?;
    let hit = with_previous(hit, previous, counter.window(), now);
    let state = backend.increment(&counter.fixed(), &hit, now).await?;
    Ok(merge_previous(previous, counter.window(), state))
}

/// Reads a [sliding](Counter::is_sliding) counter in two steps: the previous window, then the
/// current one.
///
/// # Errors
///
/// The errors of [`Backend::get`]; [`Invalid`](BackendError::Invalid) if the window is not aligned.
pub async fn get<B: Backend + ?Sized>(
    backend: &B,
    counter: &Counter<'_>,
    now: Timestamp,
) -> Result<CounterState> {
    let previous = previous_value(backend, counter, now).await?;
    Ok(merge_previous(previous, counter.window(), backend.get(&counter.fixed(), now).await?))
}

async fn previous_value<B: Backend + ?Sized>(
    backend: &B,
    counter: &Counter<'_>,
    now: Timestamp,
) -> Result<u128> {
    match previous_window(counter)? {
        Some(previous) => Ok(backend.get(&previous, now).await?.value),
        None => Ok(0),
    }
}

/// Returns the counter of the previous window; `None` in the first window since the epoch.
///
/// # Errors
///
/// [`Invalid`](BackendError::Invalid) if the window is not aligned, and so has no previous one.
pub fn previous_window<'a>(counter: &Counter<'a>) -> Result<Option<Counter<'a>>> {
    match counter.window() {
        window @ Window::Aligned { .. } => {
            Ok(window.previous().map(|previous| counter.with_window(previous).fixed()))
        }
        Window::FromFirstHit { .. } | Window::Bucket { .. } | Window::Log { .. } | Window::Span { .. } => {
            Err(BackendError::invalid("a sliding counter needs an aligned window"))
        }
    }
}

/// Returns the state with the value of the previous window, unless the backend returned a later
/// window than requested.
fn merge_previous(previous: u128, requested: Window, state: CounterState) -> CounterState {
    match (requested, state.start) {
        (Window::Aligned { start, .. }, Some(seen)) if seen != start => state,
        _ => state.with_previous(previous),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn weight_is_the_exact_quotient_rounded_up(
            previous: u64,
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            elapsed: u64,
        ) {
            let left = u128::from(length.saturating_sub(elapsed));
            let expected = (u128::from(previous) * left).div_ceil(u128::from(length));
            let length = WindowLength::try_from(std::time::Duration::from_nanos(length)).unwrap();
            prop_assert_eq!(weight(previous.into(), elapsed, length), expected);
        }

        #[test]
        fn fast_path_of_the_weight_is_exact(
            previous: u128,
            smaller in 0..128_u32,
            length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            elapsed: u64,
        ) {
            let (previous, elapsed) = (previous >> smaller, elapsed % length);
            let expected = weight_in_128_bits(previous, (length - elapsed).into(), length.into());
            let length = WindowLength::try_from(std::time::Duration::from_nanos(length)).unwrap();
            prop_assert_eq!(weight(previous, elapsed, length), expected);
        }

        #[test]
        fn no_value_overflows_the_weight(previous: u128, elapsed: u64) {
            prop_assert!(weight(previous, elapsed, WindowLength::MAX) <= previous);
            prop_assert_eq!(weight(previous, 0, WindowLength::MIN), previous);
        }
    }
}
