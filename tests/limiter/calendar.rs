//! Quotas per day, week, month and year of a calendar.

use std::time::Duration;

use limited::{
    Algorithm, Error, InvalidConfig, Limiter, LimiterConfig, ManualClock, OnError, Quota, Timestamp,
};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;

use crate::common::{AnyBackend, allow_n, block_on, on_every_backend, peek};

fn at(time: &str) -> Timestamp {
    let nanos = time.parse::<jiff::Timestamp>().unwrap().as_nanosecond();
    Timestamp::from_nanos(nanos.try_into().unwrap())
}

/// Runs `test` on every backend, at this time.
fn at_time(quota: &str, time: &str, test: impl Fn(Limiter<AnyBackend>, ManualClock)) {
    let start = at(time);
    on_every_backend(Algorithm::FixedWindow, quota.parse().unwrap(), |limiter, _| {
        let clock = ManualClock::at(start);
        test(limiter.clock(clock.clone()), clock);
    });
}

/// Checks that the limit is free again at this time, and not a nanosecond earlier.
fn frees_the_limit_at(quota: &str, now: &str, end: &str) {
    at_time(quota, now, |limiter, clock| {
        let limit = quota.split_once('/').unwrap().0.parse().unwrap();
        let wait = at(end).saturating_since(at(now));
        let allowed = allow_n(&limiter, "key", limit);
        assert_eq!((allowed.is_allowed(), allowed.remaining(), allowed.reset_after()), (true, 0, wait));
        let refused = allow_n(&limiter, "key", 1);
        assert!(!refused.is_allowed());
        assert_eq!((refused.used(), refused.retry_after()), (limit, Some(wait)), "{quota}");
        assert_eq!(peek(&limiter, "key").retry_after(), Some(wait));
        clock.advance(wait - Duration::from_nanos(1));
        assert_eq!(allow_n(&limiter, "key", 1).retry_after(), Some(Duration::from_nanos(1)));
        clock.advance(Duration::from_nanos(1));
        assert_eq!(peek(&limiter, "key").used(), 0);
        assert!(allow_n(&limiter, "key", limit).is_allowed());
    });
}

#[test]
fn limit_of_a_day_is_free_at_midnight_of_the_zone() {
    let quota = "3/calendar-day in Europe/Berlin";
    frees_the_limit_at(quota, "2026-03-28T01:00:00+01:00", "2026-03-29T00:00:00+01:00");
    // 23 hours and 25 hours.
    frees_the_limit_at(quota, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00");
    frees_the_limit_at(quota, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00");
}

#[test]
fn limit_of_a_day_without_a_midnight_is_free_when_the_clock_is_set_forward() {
    let quota = "3/calendar-day in America/Sao_Paulo";
    frees_the_limit_at(quota, "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00");
    frees_the_limit_at(quota, "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00");
}

#[test]
fn limit_of_a_month_is_free_on_the_first_or_on_the_day_of_the_bill() {
    let quota = "3/calendar-month in Europe/Berlin";
    frees_the_limit_at(quota, "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00");
    frees_the_limit_at(quota, "2028-02-29T23:00:00+01:00", "2028-03-01T00:00:00+01:00");
    let quota = "3/calendar-month from 31 in UTC";
    frees_the_limit_at(quota, "2027-01-31T00:00:00Z", "2027-02-28T00:00:00Z");
    frees_the_limit_at(quota, "2027-02-28T00:00:00Z", "2027-03-31T00:00:00Z");
    frees_the_limit_at(quota, "2027-03-31T00:00:00Z", "2027-04-30T00:00:00Z");
}

#[test]
fn limit_of_a_week_or_a_year_is_free_at_its_start() {
    frees_the_limit_at("3/calendar-week in UTC", "2026-04-01T09:00:00Z", "2026-04-06T00:00:00Z");
    let from_sunday = "3/calendar-week from sunday in Asia/Tokyo";
    frees_the_limit_at(from_sunday, "2026-04-01T09:00:00Z", "2026-04-04T15:00:00Z");
    frees_the_limit_at("3/calendar-year in UTC", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
    let fiscal = "3/calendar-year from 04-06 in Europe/London";
    frees_the_limit_at(fiscal, "2026-12-01T00:00:00Z", "2027-04-05T23:00:00Z");
}

#[test]
fn zones_whose_days_differ_count_apart() {
    at_time("3/calendar-day in Europe/Berlin", "2026-06-01T12:00:00Z", |limiter, _| {
        assert!(allow_n(&limiter, "key", 3).is_allowed());
        for (quota, used) in [
            ("3/calendar-day in Asia/Tokyo", 0),
            ("3/day", 0),
            ("3/calendar-week in Europe/Berlin", 0),
            // Its day starts and ends together with that of Berlin.
            ("5/calendar-day in Europe/Paris", 3),
        ] {
            let decision = block_on(limiter.with_quota(quota.parse().unwrap()).peek("key")).unwrap();
            assert_eq!(decision.used(), used, "{quota}");
        }
    });
}

#[test]
fn cost_above_the_limit_is_never_admitted() {
    at_time("3/calendar-day in UTC", "2026-06-01T12:00:00Z", |limiter, _| {
        let refused = allow_n(&limiter, "key", 4);
        assert!(!refused.is_allowed());
        assert_eq!((refused.remaining(), refused.retry_after()), (3, None));
    });
}

#[test]
fn clock_that_jumps_back_within_a_day_finds_its_hits() {
    let clock = ManualClock::at(at("2026-06-10T12:00:00Z"));
    let limiter = Limiter::new(MemoryBackend::new()).quota("3/calendar-day in UTC".parse().unwrap());
    let limiter = limiter.clock(clock.clone());
    assert!(limiter.allow_now("key").unwrap().is_allowed());
    clock.set(at("2026-06-10T01:00:00Z"));
    assert_eq!(limiter.allow_now("key").unwrap().used(), 2);
}

#[test]
fn reset_and_refund_reach_the_day_that_was_charged() {
    at_time("3/calendar-day in Europe/Berlin", "2026-10-25T12:00:00Z", |limiter, clock| {
        let decision = allow_n(&limiter, "key", 2);
        block_on(limiter.refund_n("key", &decision, 1)).unwrap();
        assert_eq!(peek(&limiter, "key").used(), 1);
        clock.advance(Duration::from_secs(24 * 3_600));
        assert!(allow_n(&limiter, "key", 3).is_allowed());
        // It goes to the day before.
        block_on(limiter.refund("key", &decision)).unwrap();
        assert_eq!(peek(&limiter, "key").used(), 3);
        block_on(limiter.reset("key")).unwrap();
        assert_eq!(peek(&limiter, "key").used(), 0);
    });
}

#[test]
fn several_quotas_can_be_of_a_clock_and_of_a_calendar() {
    at_time("1/s", "2026-06-30T23:59:58Z", |limiter, clock| {
        let quotas: limited::Quotas = "2/s; 3/calendar-month in UTC".parse().unwrap();
        let limiter = limiter.quotas(quotas);
        assert!(allow_n(&limiter, "key", 2).is_allowed());
        clock.advance(Duration::from_secs(1));
        let refused = allow_n(&limiter, "key", 2);
        assert!(refused.limits()[0].is_allowed() && !refused.limits()[1].is_allowed());
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert!(allow_n(&limiter, "key", 2).is_allowed());
    });
    assert!("2/calendar-day in UTC; 3/calendar-day in Europe/Paris".parse::<limited::Quotas>().is_err());
}

#[test]
fn calendar_quota_under_another_algorithm_is_an_error_of_every_decision() {
    let quota: Quota = "3/calendar-month in UTC".parse().unwrap();
    let mock = MockBackend::new();
    for algorithm in [Algorithm::SlidingWindow, Algorithm::SlidingLog, Algorithm::TokenBucket] {
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm).on_error(OnError::Allow);
        let several =
            limiter.clone().quotas("9/s; 3/calendar-month in UTC".parse::<limited::Quotas>().unwrap());
        let limiter = limiter.quota(quota);
        for error in [
            limiter.allow_now("key").unwrap_err(),
            block_on(limiter.allow("key")).unwrap_err(),
            limiter.peek_now("key").unwrap_err(),
            limiter.reset_now("key").unwrap_err(),
            limiter.clone().quota(Quota::per_minute(1)).with_quota(quota).allow_now("key").unwrap_err(),
            several.allow_now("key").unwrap_err(),
            block_on(several.allow("key")).unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::CalendarQuota { quota: wrong, .. } if wrong == quota),
                "{error:?}"
            );
            assert_eq!(
                error.to_string(),
                format!(
                    "the calendar quota `3/calendar-month in UTC` needs the algorithm fixed-window; {algorithm} has \
                     no calendar"
                )
            );
            assert!(!error.is_retryable());
        }
        let mut config = LimiterConfig::default();
        (config.quota, config.algorithm) = (quota.into(), algorithm);
        assert_eq!(config.validate(), Err(InvalidConfig::CalendarQuota { quota, algorithm }));
        config.algorithm = Algorithm::FixedWindow;
        assert_eq!(config.validate(), Ok(()));
    }
    assert_eq!(mock.total(), 0);
    assert_eq!(
        limited::AttemptsConfig::new(quota).validate(),
        Err(InvalidConfig::CalendarOfAttempts { quota })
    );
}
