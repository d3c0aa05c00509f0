//! A hit on a known key allocates nothing.

mod common;

use common::in_memory;
use limited::{Algorithm, Quota};

#[test]
fn a_hit_on_a_known_key_allocates_nothing() {
    for algorithm in Algorithm::ALL {
        let (limiter, clock) = in_memory(algorithm, Quota::per_minute(600));
        let limiter = limiter.namespace("api");
        assert!(limiter.allow_now("tenant:42:user:12345").unwrap().is_allowed());
        let allocated = allocation_counter::measure(|| {
            for _ in 0..1_000 {
                // Admitted and refused, across rollovers.
                let _ = limiter.allow_now("tenant:42:user:12345").unwrap();
                let _ = limiter.peek_now("tenant:42:user:12345").unwrap();
                clock.advance(std::time::Duration::from_millis(70));
            }
        });
        assert_eq!(allocated.count_total, 0, "{algorithm}");
    }
}

#[test]
fn a_refused_hit_on_an_unknown_key_allocates_nothing() {
    for algorithm in Algorithm::ALL {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(600));
        let allocated = allocation_counter::measure(|| {
            let _ = limiter.allow_n_now("somebody", 601).unwrap();
        });
        assert_eq!(allocated.count_total, 0, "{algorithm}");
    }
}

#[test]
fn waiting_for_it_allocates_nothing_either() {
    for algorithm in Algorithm::ALL {
        let (limiter, _) = in_memory(algorithm, Quota::per_minute(600));
        let _ = limiter.allow_now("key").unwrap();
        // The executor allocates its waker when a thread first waits.
        common::block_on(async {});
        let allocated = allocation_counter::measure(|| {
            let _ = common::block_on(limiter.allow("key")).unwrap();
        });
        assert_eq!(allocated.count_total, 0, "{algorithm}");
    }
}
