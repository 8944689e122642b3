//! Where and with what a run was made.

use std::fs;

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) architecture: &'static str,
    pub(crate) cpu: String,
    /// Those that this process may run on; 0 when that cannot be seen.
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: Option<u64>,
    /// Of the last minute when the run began. Above zero, others had a part in the figures.
    pub(crate) load_average: Option<f64>,
    /// Huge pages in shared memory change what a fault costs.
    pub(crate) shmem_huge_pages: String,
    pub(crate) version: &'static str,
    /// Of the sources this program was built from.
    pub(crate) commit: &'static str,
}

impl Machine {
    /// Looks around. What cannot be seen is called "unknown".
    pub(crate) fn look() -> Machine {
        Machine {
            kernel: first_line("/proc/sys/kernel/osrelease"),
            architecture: std::env::consts::ARCH,
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cpus: bo_sys::thread::allowed_cpus().map_or(0, |cpus| cpus.len()),
            memory_bytes: field("/proc/meminfo", "MemTotal").and_then(|text| kib(&text)),
            load_average: load_average(),
            shmem_huge_pages: first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("BO_COMMIT"),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).ok();
    text.and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_else(unknown)
}

/// The value of the first `name: value` line.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn load_average() -> Option<f64> {
    first_line("/proc/loadavg").split_whitespace().next()?.parse().ok()
}

fn kib(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_kernel_and_a_cpu() {
        let machine = Machine::look();
        assert_ne!(machine.kernel, "unknown");
        assert!(0 < machine.cpus);
        assert!(machine.memory_bytes.is_some());
    }

    #[test]
    fn a_file_that_is_not_there_is_unknown() {
        assert_eq!(first_line("/nonexistent"), "unknown");
    }
}
