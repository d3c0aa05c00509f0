//! What the figures were measured on, and with.

use std::fs;
use std::thread;

/// The processor, how many threads it runs at a time, and how busy it is.
pub fn description() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let threads = thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {threads} threads at a time", processor.unwrap_or_else(|| "an unknown processor".to_owned()))
}

/// The load of the last minute: without anybody else it is at most that of the measurement itself.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// The resident set of this process in bytes, exact at the time of the call.
///
/// # Errors
///
/// Where the system does not tell.
pub fn resident() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes: u64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .ok_or_else(|| anyhow::anyhow!("/proc/self/smaps_rollup tells no resident set"))?
        .trim()
        .parse()?;
    Ok(kibibytes * 1024)
}

/// The version of a package that was compiled in.
pub fn version(package: &str) -> &'static str {
    version_in(include_str!("../Cargo.lock"), package)
}

fn version_in<'l>(lock: &'l str, package: &str) -> &'l str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let found = lock.split_once(&name).and_then(|(_, rest)| rest.split_once('"'));
    found.map_or("unknown", |(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let package = |name: &str, version: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n")
        };
        let lock = package("governor-extra", "9.9.9") + &package("governor", "0.10.4");
        assert_eq!(version_in(&lock, "governor"), "0.10.4");
        assert_eq!(version_in(&lock, "limits"), "unknown");
        assert_ne!(version("governor"), "unknown");
    }

    #[test]
    fn memory_that_was_written_is_resident() {
        let before = resident().unwrap();
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident().unwrap() >= before + (60 << 20));
        drop(memory);
    }
}
