//! `peek` changes nothing and predicts `allow`. `remaining` is the largest cost that is admitted.

use limited::{Limiter, Quota, Timestamp};
use limited_memory::MemoryBackend;
use proptest::prelude::*;

use crate::common::{any_algorithm, any_count, any_quota, calls, everywhere, in_memory, peek, small_quota};

fn check_peek(limiter: &Limiter<MemoryBackend>) -> Result<(), TestCaseError> {
    let seen = limiter.peek_now("key").unwrap();
    prop_assert_eq!(&limiter.peek_now("key").unwrap(), &seen, "a peek changes nothing");

    let too_much = seen.remaining().checked_add(1);
    if let Some(too_much) = too_much {
        let refused = limiter.allow_n_now("key", too_much).unwrap();
        prop_assert!(!refused.is_allowed(), "one more than remains");
        prop_assert_eq!((refused.used(), refused.remaining()), (seen.used(), seen.remaining()));
        prop_assert_eq!(&limiter.peek_now("key").unwrap(), &seen, "a refusal changes nothing");
    }
    let decision = limiter.allow_now("key").unwrap();
    prop_assert_eq!(decision.is_allowed(), seen.is_allowed());
    prop_assert_eq!(decision.limit(), seen.limit());
    if decision.is_allowed() {
        prop_assert_eq!(decision.used(), seen.used() + 1);
        prop_assert_eq!(decision.remaining() + 1, seen.remaining());
        if let rest @ 1.. = decision.remaining() {
            prop_assert!(limiter.allow_n_now("key", rest).unwrap().is_allowed(), "all that remains");
            prop_assert_eq!(limiter.peek_now("key").unwrap().remaining(), 0);
        }
    } else {
        prop_assert_eq!(&decision, &seen);
        prop_assert_eq!(seen.remaining(), 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn peek_predicts_what_allow_decides(
        algorithm in any_algorithm(),
        quota in small_quota(),
        calls in calls(),
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        for call in calls {
            call.wait(&clock, quota);
            let _ = limiter.allow_n_now("key", call.cost).unwrap();
        }
        check_peek(&limiter)?;
    }

    #[test]
    fn peek_predicts_for_all_quotas_and_times(
        algorithm in any_algorithm(),
        quota in any_quota(),
        start in 0..u64::MAX / 2,
        costs in prop::collection::vec(any_count(), 0..6),
    ) {
        let (limiter, clock) = in_memory(algorithm, quota);
        clock.set(Timestamp::from_nanos(start));
        for cost in costs {
            let before = limiter.peek_now("key").unwrap();
            let decision = limiter.allow_n_now("key", cost.max(1)).unwrap();
            prop_assert_eq!(decision.is_allowed(), cost.max(1) <= before.remaining());
        }
        check_peek(&limiter)?;
    }
}

#[test]
fn peek_at_an_unused_key_returns_the_whole_limit() {
    everywhere(Quota::per_minute(5), |limiter, _| {
        let seen = peek(&limiter, "key");
        assert!(seen.is_allowed());
        assert_eq!((seen.limit(), seen.used(), seen.remaining(), seen.retry_after()), (5, 0, 5, None));
        let nothing = peek(&limiter.quota(Quota::per_minute(0)), "key");
        assert_eq!((nothing.is_allowed(), nothing.remaining(), nothing.retry_after()), (false, 0, None));
    });
}
