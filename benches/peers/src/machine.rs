//! The machine and the package versions of a measurement.

use std::fs;
use std::thread;

/// Returns the name of the processor and the number of available threads.
pub fn description() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let threads = thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {threads} threads available", processor.unwrap_or_else(|| "unknown processor".to_owned()))
}

/// Returns the load average of the last minute. On an idle machine it is that of the measurement.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Returns the current resident set of this process in bytes. The figure is exact.
///
/// # Errors
///
/// Returns an error if the system does not report it (only Linux does).
pub fn resident() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes: u64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .ok_or_else(|| anyhow::anyhow!("/proc/self/smaps_rollup has no line `Rss: … kB`"))?
        .trim()
        .parse()?;
    Ok(kibibytes * 1024)
}

/// Returns the locked version of a package, or "unknown".
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
    fn versions_come_from_the_lock_file() {
        let package = |name: &str, version: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n")
        };
        let lock = package("governor-extra", "9.9.9") + &package("governor", "0.10.4");
        assert_eq!(version_in(&lock, "governor"), "0.10.4");
        assert_eq!(version_in(&lock, "limits"), "unknown");
        assert_ne!(version("governor"), "unknown");
    }

    #[test]
    fn written_memory_is_resident() {
        let before = resident().unwrap();
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident().unwrap() >= before + (60 << 20));
        drop(memory);
    }
}
