//! Integer division and conversion. Quotients of 64-bit numbers take a fast path, because a 128-bit
//! division is many times slower.

use std::num::NonZeroU64;

/// Returns the quotient, rounded down; `None` if the divisor is 0.
#[inline]
pub(super) fn quotient(dividend: u128, divisor: u128) -> Option<u128> {
    match (u64::try_from(dividend), u64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) => dividend.checked_div(divisor).map(u128::from),
        _ => dividend.checked_div(divisor),
    }
}

/// Returns the quotient, rounded up.
#[inline(always)]
pub(super) fn quotient_rounded_up(dividend: u128, divisor: NonZeroU64) -> u128 {
    match u64::try_from(dividend) {
        Ok(dividend) => dividend.div_ceil(divisor.get()).into(),
        Err(_) => wide_quotient_rounded_up(dividend, divisor),
    }
}

#[cold]
fn wide_quotient_rounded_up(dividend: u128, divisor: NonZeroU64) -> u128 {
    let divisor = u128::from(divisor.get());
    let quotient = dividend / divisor;
    // A multiplication is cheaper than a second division for the remainder.
    quotient + u128::from(quotient * divisor < dividend)
}

/// Returns the number, or `u64::MAX` if it is larger.
#[inline]
pub(super) fn saturate_u64(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn fast_path_returns_the_same_quotient(
            dividend: u128,
            divisor: u128,
            (dividend_shift, divisor_shift) in (0..128_u32, 0..128_u32),
        ) {
            let (dividend, divisor) = (dividend >> dividend_shift, divisor >> divisor_shift);
            prop_assert_eq!(quotient(dividend, divisor), dividend.checked_div(divisor));
            if let Some(divisor) = u64::try_from(divisor).ok().and_then(NonZeroU64::new) {
                let expected = dividend.div_ceil(divisor.get().into());
                prop_assert_eq!(quotient_rounded_up(dividend, divisor), expected);
            }
        }
    }
}
