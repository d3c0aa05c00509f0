//! The settings of the layers as text, and the errors of their builders.

use limited::http::{
    KeyExtractor, LimitHeaders, MissingKey, OnBackendFailure, RateLimitLayer, RateLimitRule, TrustedProxies,
};
use limited::{Limiter, Quota, memory::MemoryBackend};

#[test]
fn setting_is_read_from_its_name() {
    for (name, setting) in [("reject", MissingKey::Reject), ("pass", MissingKey::Pass)] {
        assert_eq!((name.parse(), setting.to_string().as_str()), (Ok(setting), name));
    }
    for (name, setting) in [("reject", OnBackendFailure::Reject), ("run", OnBackendFailure::Run)] {
        assert_eq!((name.parse(), setting.to_string().as_str()), (Ok(setting), name));
    }
    for (name, setting) in [
        ("all", LimitHeaders::All),
        ("rejections-only", LimitHeaders::RejectionsOnly),
        ("retry-after-only", LimitHeaders::RetryAfterOnly),
        ("none", LimitHeaders::None),
    ] {
        assert_eq!((name.parse(), setting.to_string().as_str()), (Ok(setting), name));
    }
    assert_eq!(
        "ignore".parse::<MissingKey>().unwrap_err().to_string(),
        "unknown behaviour without a key `ignore`; expected reject or pass"
    );
}

#[cfg(feature = "serde")]
#[test]
fn setting_is_read_from_a_file() {
    #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
    struct File {
        missing_key: MissingKey,
        on_backend_failure: OnBackendFailure,
        when_full: limited::memory::WhenFull,
    }
    let text = "missing_key = \"pass\"\non_backend_failure = \"run\"\nwhen_full = \"evict-soonest\"\n";
    let file: File = toml::from_str(text).unwrap();
    assert_eq!((file.missing_key, file.on_backend_failure), (MissingKey::Pass, OnBackendFailure::Run));
    assert_eq!(file.when_full, limited::memory::WhenFull::EvictSoonest);
    assert_eq!(toml::to_string(&file).unwrap(), text);
}

#[test]
fn error_that_main_prints_says_what_is_expected() {
    let network = format!("{:?}", TrustedProxies::networks(["10.0.0.0/33"]).unwrap_err());
    assert!(network.starts_with("InvalidNetwork: invalid network `10.0.0.0/33`; expected"), "{network}");
    let layer = RateLimitLayer::new(Limiter::new(MemoryBackend::new()), KeyExtractor::path());
    let name = format!("{:?}", layer.clone().policy_name("").unwrap_err());
    assert!(name.starts_with("InvalidPolicyName: invalid policy name ``; expected"), "{name}");
    let rule = RateLimitRule::new("default", Quota::per_minute(1), |_| true).unwrap();
    let rule = format!("{:?}", layer.rule(rule).unwrap_err());
    assert!(rule.starts_with("RuleConflict: the layer already has a policy `default`; expected"), "{rule}");
}
