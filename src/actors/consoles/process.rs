//! Processor time and memory of this process, as the kernel counts them.

use std::time::{Duration, Instant};

/// Ticks of a second in `/proc/self/stat`: fixed for programs, whatever the kernel itself uses.
const TICKS_PER_S: u64 = 100;

/// Shorter spans are too short for ticks of 10 ms.
const SPAN_MIN: Duration = Duration::from_millis(500);

/// Longer spans say nothing about now.
const SPAN_MAX: Duration = Duration::from_secs(10);

/// Measures the share of a processor between two looks.
#[derive(Debug, Default)]
pub struct ProcessMeter {
    last: Option<(Instant, Duration)>,
    cpu: Option<f32>,
}

impl ProcessMeter {
    /// Processor time since the last look, in seconds per second; 1 is one core. `None` at the
    /// first look, after a long time without one, and where the system does not say.
    pub fn cpu(&mut self) -> Option<f32> {
        let now = Instant::now();
        let Some((at, before)) = self.last else {
            self.last = cpu_time().map(|spent| (now, spent));
            return None;
        };
        let span = now.duration_since(at);
        if span < SPAN_MIN {
            return self.cpu;
        }
        let spent = cpu_time()?;
        self.last = Some((now, spent));
        self.cpu = (span <= SPAN_MAX)
            .then(|| spent.saturating_sub(before).as_secs_f32() / span.as_secs_f32());
        self.cpu
    }
}

/// Resident memory in bytes; `None` where the system does not say.
pub fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_bytes(&status)
}

fn cpu_time() -> Option<Duration> {
    spent(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The user and system time in the text of `/proc/self/stat`: the 14th and 15th field, of which the
/// second is a name in parentheses that may contain spaces.
fn spent(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_S))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0";
        assert_eq!(spent(stat), Some(Duration::from_secs(3)));
        assert_eq!(spent("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_the_resident_part() {
        assert_eq!(
            resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t  12 kB\nRssAnon: 1 kB"),
            Some(12 * 1_024)
        );
        assert_eq!(resident_bytes(""), None);
    }
}
