//! Measures the memory that claim records take: the resident set of this process, for each record.
//!
//! ```sh
//! cargo run --release -p limited-memory --example claim_memory
//! ```
//!
//! On Linux, since it reads `/proc`. The optional argument is the number of records; default:
//! 1,000,000.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use limited_core::{
    Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Key, Owner, RequestHash, StoredResult, Timestamp,
};
use limited_memory::MemoryBackend;
use pollster::block_on;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);
const LEASE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The size of each result. A kilobyte.
const RESULT_BYTES: usize = 1_024;

fn main() -> Result<(), Box<dyn Error>> {
    let records = std::env::args().nth(1).map_or(Ok(1_000_000), |records| records.parse())?;

    let before = resident_bytes()?;
    let backend = MemoryBackend::new();
    for number in 0..records {
        claim(&backend, number, START)?;
    }
    report("abandoned claims", records, resident_bytes()?.saturating_sub(before));
    drop(backend);

    let backend = MemoryBackend::new();
    let before = resident_bytes()?;
    println!("(after dropping them, {before} bytes are resident)");
    for number in 0..records {
        run(&backend, number, START)?;
    }
    let first = resident_bytes()?;
    report("stored results of 1 KB", records, first);

    for wave in 1..4_u32 {
        let now = START.saturating_add(2 * wave * DAY);
        for number in 0..records {
            run(&backend, wave as usize * records + number, now)?;
        }
        let later = resident_bytes()?;
        report("the next wave, after the last one has expired", records, later);
        println!("that is {:.3} times the resident set of the first wave", later as f64 / first as f64);
    }
    println!("{} records are known", backend.claims());
    Ok(())
}

/// Claims a key as the HTTP layer does: one of a caller, with the hash of the request.
fn claim(backend: &MemoryBackend, number: usize, now: Timestamp) -> Result<Owner, Box<dyn Error>> {
    let key = Key::new()
        .user(number % 1_000)
        .part("idempotency-key", format_args!("8e03978e-40d5-43dd-bc93-{number:012x}"));
    let owner = Owner(number as u128 + 1);
    let request = ClaimRequest::new(owner, now.saturating_add(LEASE)).with_request_hash(RequestHash([7; 32]));
    block_on(backend.claim(&ClaimKey::new("payments", ClaimKind::Idempotency, &key)?, &request, now))?;
    Ok(owner)
}

/// Claims a key and finishes it with a result, which is stored for a day.
fn run(backend: &MemoryBackend, number: usize, now: Timestamp) -> Result<(), Box<dyn Error>> {
    let owner = claim(backend, number, now)?;
    let key = Key::new()
        .user(number % 1_000)
        .part("idempotency-key", format_args!("8e03978e-40d5-43dd-bc93-{number:012x}"));
    // Like a serializer: a string that grows.
    let mut result = String::new();
    while result.len() < RESULT_BYTES {
        write!(result, "{number:08},")?;
    }
    result.truncate(RESULT_BYTES);
    let completion = Completion::new(owner)
        .with_result(StoredResult::Value(result.into()))
        .with_status_code(201)
        .with_expiry(now.saturating_add(DAY));
    block_on(backend.finish(&ClaimKey::new("payments", ClaimKind::Idempotency, &key)?, &completion, now))?;
    Ok(())
}

fn report(what: &str, records: usize, bytes: usize) {
    println!("{what}: {records} of {:.1} bytes each", bytes as f64 / records as f64);
}

/// Returns the size of the resident set of this process, in bytes.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in the status")?;
    let kibibytes: usize = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1_024)
}
