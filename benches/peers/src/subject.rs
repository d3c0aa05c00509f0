//! The interface of the measured limiters.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::latencies::Latencies;

/// A limit of `count` per `period` for each key, with bursts up to the whole count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The number of calls that are admitted per period.
    pub count: u32,
    /// The length of the period.
    pub period: Duration,
}

impl Limit {
    /// A limit that no run reaches, but realistic: every limiter does its full arithmetic.
    pub const AMPLE: Self = Self { count: 1_000_000_000, period: Duration::from_secs(3600) };

    /// A limit that the first call uses up for longer than any run lasts.
    pub const ONE_PER_DAY: Self = Self { count: 1, period: Duration::from_secs(24 * 3600) };

    /// A limit whose keys expire soon, but not before a million of them have been created.
    pub const SHORT_PERIOD: Self = Self { count: 10, period: Duration::from_secs(2) };

    /// Returns the emission interval: the time after which one more call is admitted.
    pub fn emission_interval(&self) -> Duration {
        self.period / self.count
    }
}

/// The settings from which an [`Entry`] builds its limiter.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The limit of every key.
    pub limit: Limit,
    /// The expected number of keys, for limiters with a fixed capacity. None reserves memory.
    pub keys: usize,
    /// Whether to enable or speed up the removal of expired keys, if the limiter supports it.
    pub remove_expired: bool,
}

/// When a limiter removes expired keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Never.
    Never,
    /// During calls or in the background.
    Automatic,
    /// When [`Subject::clean_up`] is called.
    OnRequest,
}

impl Cleanup {
    /// Returns the label used in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Automatic => "automatic",
            Self::OnRequest => "on request",
        }
    }
}

/// A limiter under measurement.
///
/// The loops are provided methods, so they are compiled for each limiter. Calls inside a loop do
/// not go through the trait object that the runner holds.
pub trait Subject: Send + Sync {
    /// Decides one call, as a program with a `&str` key would, and reads every part of the result.
    ///
    /// Keys are `'static` only for limiters over `&'static str`. Others must not rely on it.
    fn decide(&self, key: &'static str) -> bool;

    /// Decides one call for each key and returns the number of admitted calls.
    fn decide_each(&self, keys: &[&'static str]) -> usize {
        let mut admitted = 0;
        for key in keys {
            admitted += usize::from(black_box(self.decide(black_box(*key))));
        }
        admitted
    }

    /// Decides one call for each key and records its duration. Reads the timer once per call.
    fn time_each(&self, keys: &[&'static str], latencies: &mut Latencies) {
        let mut before = Instant::now();
        for key in keys {
            black_box(self.decide(black_box(*key)));
            let after = Instant::now();
            latencies.record(after - before);
            before = after;
        }
    }

    /// Returns the number of stored keys, if the limiter reports it.
    fn known_keys(&self) -> Option<usize> {
        None
    }

    /// Removes expired keys, if the limiter does so [on request](Cleanup::OnRequest).
    fn clean_up(&self) {}
}

/// Builds a limiter from settings.
pub type Build = fn(&Settings) -> Box<dyn Subject>;

/// One limiter in the list of subjects.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name in tables and on the command line.
    pub name: &'static str,
    /// How the limiter is called, and what it needs instead of a `&str`.
    pub about: &'static str,
    /// Whether memory and stalls are measured. False if an earlier entry has the same store.
    pub own_store: bool,
    /// When the limiter removes expired keys, if built with [`Settings::remove_expired`].
    pub cleanup: Cleanup,
    /// Builds the limiter.
    pub build: Build,
}
