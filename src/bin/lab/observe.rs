//! The machine, and the cost of the server on it, read from `/proc`: CPU time, resident memory
//! and context switches of one process, sampled by a thread of its own.
//!
//! A server that dies or is replaced ends the series; it does not end the run, for which a dead
//! server is a finding like any other.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::outcome::{Machine, Outcome};

/// The CPU time of a shorter phase is not reported.
const PHASE_S_MIN: f64 = 0.5;

/// A day of one sample a second; later ones are not taken.
const SAMPLES_MAX: usize = 86_400;

/// Words of `/proc/PID/stat` after the name, counted from 0: user time, system time, start time.
const STAT_USER_TICKS: usize = 11;
const STAT_SYSTEM_TICKS: usize = 12;
const STAT_STARTED_TICKS: usize = 19;

/// The machine this runs on; what cannot be read is left empty or zero.
pub fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let memory_kib = field(&read("/proc/meminfo"), "MemTotal").unwrap_or(0);
    Machine {
        cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: memory_kib * 1024,
        kernel: format!("Linux {} {}", release.trim(), std::env::consts::ARCH),
    }
}

/// ARM kernels name no model; there the caller falls back on the architecture.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    let (_, model) = line.split_once(':')?;
    Some(model.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The number after `name:` in a file of such lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// One look at the server. All but `rss_bytes` only ever grow.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: Instant,
    /// User and system time of all threads, those that have ended included.
    pub cpu_s: f64,
    pub rss_bytes: u64,
    /// Voluntary and involuntary switches of all threads seen so far.
    pub context_switches: u64,
}

/// A process under observation.
struct Process {
    folder: PathBuf,
    /// Distinguishes the process from a later one that got the same pid.
    started_ticks: u64,
    ticks_per_s: f64,
    /// By thread id, so that the switches of a thread that ends are not taken back.
    switches: HashMap<String, u64>,
    switches_of_ended: u64,
}

impl Process {
    fn open(pid: u32) -> io::Result<Process> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let (_, started_ticks) = read_stat(&folder)?;
        Ok(Process {
            folder,
            started_ticks,
            ticks_per_s: rustix::param::clock_ticks_per_second() as f64,
            switches: HashMap::new(),
            switches_of_ended: 0,
        })
    }

    fn sample(&mut self) -> io::Result<Sample> {
        let at = Instant::now();
        let (cpu_ticks, started_ticks) = read_stat(&self.folder)?;
        if started_ticks != self.started_ticks {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process ended and its pid was given away",
            ));
        }
        let status = fs::read_to_string(self.folder.join("status"))?;
        // A zombie has no memory left, nor this line.
        let rss_kib =
            field(&status, "VmRSS").ok_or_else(|| malformed("no VmRSS in /proc/PID/status"))?;
        let context_switches = self.count_switches()?;
        Ok(Sample {
            at,
            cpu_s: cpu_ticks as f64 / self.ticks_per_s,
            rss_bytes: rss_kib * 1024,
            context_switches,
        })
    }

    fn count_switches(&mut self) -> io::Result<u64> {
        let mut seen = HashMap::with_capacity(self.switches.len());
        for entry in fs::read_dir(self.folder.join("task"))? {
            let entry = entry?;
            // A thread may end between the listing and the look.
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
                continue;
            };
            let count = |name| field(&status, name).unwrap_or(0);
            let switches = count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches");
            seen.insert(entry.file_name().to_string_lossy().into_owned(), switches);
        }
        for (thread_id, switches) in &self.switches {
            // Fewer than before: another thread has got the id.
            if seen.get(thread_id).is_none_or(|now| now < switches) {
                self.switches_of_ended += switches;
            }
        }
        self.switches = seen;
        Ok(self.switches_of_ended + self.switches.values().sum::<u64>())
    }
}

/// CPU time used and start time, in clock ticks.
fn read_stat(folder: &Path) -> io::Result<(u64, u64)> {
    parse_stat(&fs::read_to_string(folder.join("stat"))?)
        .ok_or_else(|| malformed("/proc/PID/stat is not as expected"))
}

/// The process's name may hold blanks and brackets, so the fields are counted from its last
/// bracket.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let words: Vec<&str> = after_name.split_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    Some((
        number(STAT_USER_TICKS)? + number(STAT_SYSTEM_TICKS)?,
        number(STAT_STARTED_TICKS)?,
    ))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Samples one process at an interval until it is finished, dropped, or the process is gone.
pub struct Sampler {
    samples: Arc<Mutex<Vec<Sample>>>,
    /// Dropped to wake the thread and end it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// The first sample is taken before this returns: start it before the first connection, and
    /// memory per connection is measured from there. Fails if there is no such process.
    pub fn start(pid: u32, interval: Duration) -> io::Result<Sampler> {
        let mut process = Process::open(pid)?;
        let samples = Arc::new(Mutex::new(vec![process.sample()?]));
        let (stop, stopped) = mpsc::channel();
        let shared = Arc::clone(&samples);
        let thread = thread::Builder::new()
            .name("lab-sampler".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                    let Ok(sample) = process.sample() else { return };
                    let mut samples = lock(&shared);
                    if samples.len() >= SAMPLES_MAX {
                        return;
                    }
                    samples.push(sample);
                }
                // The last moments of a run count as well.
                if let Ok(sample) = process.sample() {
                    lock(&shared).push(sample);
                }
            })?;
        Ok(Sampler {
            samples,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Takes a last sample and hands over the series, in order of time.
    pub fn finish(mut self) -> Vec<Sample> {
        self.end();
        std::mem::take(&mut *lock(&self.samples))
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the samples until then are still good.
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

/// A push cannot leave a vector half done, so a poisoned lock is as good as a clean one.
fn lock(samples: &Mutex<Vec<Sample>>) -> MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Percent of one core used between two samples: 200 is two cores kept busy.
pub fn cpu_percent(older: &Sample, newer: &Sample) -> f64 {
    let elapsed_s = newer.at.saturating_duration_since(older.at).as_secs_f64();
    if elapsed_s > 0.0 {
        (newer.cpu_s - older.cpu_s).max(0.0) / elapsed_s * 100.0
    } else {
        0.0
    }
}

/// Writes what was sampled into the outcome: the server's totals and, beside each point of the
/// series, its CPU and memory. `started` is the moment from which the points' `at_s` count; the
/// totals of `outcome` must be in by now, since costs are divided by deliveries and connections.
pub fn attach(samples: &[Sample], started: Instant, outcome: &mut Outcome) {
    let ([first, ..], [.., last]) = (samples, samples) else {
        return;
    };
    let rss_peak_bytes = samples
        .iter()
        .map(|sample| sample.rss_bytes)
        .max()
        .unwrap_or(first.rss_bytes);
    let cpu_s = last.cpu_s - first.cpu_s;
    let per = |amount: f64, count: u64| (count > 0).then(|| amount / count as f64);
    let server = &mut outcome.server;
    server.cpu_s = Some(cpu_s);
    server.cpu_us_per_delivery = per(cpu_s * 1e6, outcome.totals.deliveries);
    server.rss_start_bytes = Some(first.rss_bytes);
    server.rss_peak_bytes = Some(rss_peak_bytes);
    let grown_bytes = rss_peak_bytes.saturating_sub(first.rss_bytes);
    server.rss_bytes_per_connection = per(grown_bytes as f64, outcome.totals.connections);
    server.context_switches = Some(last.context_switches - first.context_switches);

    for phase in &mut outcome.phases {
        let at = |at_s| {
            Duration::try_from_secs_f64(at_s)
                .ok()
                .and_then(|offset| cpu_s_at(samples, started + offset))
        };
        // A phase shorter than the time between samples has a share of theirs, which means nothing.
        let is_long_enough = phase.to_s - phase.from_s >= PHASE_S_MIN;
        let cpu_s = at(phase.from_s)
            .zip(at(phase.to_s))
            .filter(|_| is_long_enough)
            .map(|(from, to)| to - from);
        phase.server_cpu_s = cpu_s;
        phase.server_cpu_us_per_delivery =
            cpu_s.and_then(|cpu_s| per(cpu_s * 1e6, phase.deliveries));
    }
    for point in &mut outcome.series {
        let Ok(offset) = Duration::try_from_secs_f64(point.at_s) else {
            continue;
        };
        let at = started + offset;
        // The stretch between two samples in which the point lies; after the last there is none.
        let next = samples.partition_point(|sample| sample.at < at);
        if let (Some(older), Some(newer)) = (
            samples.get(next.saturating_sub(1)),
            samples.get(next.max(1)),
        ) {
            point.server_cpu_percent = Some(cpu_percent(older, newer));
            point.server_rss_bytes = Some(newer.rss_bytes);
        }
    }
}

/// CPU seconds used up to a moment; nothing is known of moments beyond the first and last sample.
fn cpu_s_at(samples: &[Sample], at: Instant) -> Option<f64> {
    let next = samples.partition_point(|sample| sample.at <= at);
    let older = samples.get(next.checked_sub(1)?)?;
    let Some(newer) = samples.get(next) else {
        return (older.at == at).then_some(older.cpu_s);
    };
    let share = (at - older.at).as_secs_f64() / (newer.at - older.at).as_secs_f64();
    Some(older.cpu_s + (newer.cpu_s - older.cpu_s) * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{PhaseOutcome, Point};
    use crate::report::sample;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 0 1 2 3 4 150 50 7 8 20 0 9 0 4242 1 2 3";
        assert_eq!(parse_stat(stat), Some((200, 4242)));
        assert_eq!(parse_stat("77 (short) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_machine_is_known() {
        let machine = machine();
        assert!(
            !machine.cpu.is_empty() && machine.cores > 0 && machine.memory_bytes > 0,
            "{machine:?}"
        );
        assert!(machine.kernel.starts_with("Linux "), "{}", machine.kernel);
    }

    #[test]
    fn a_process_is_sampled_until_it_is_finished() {
        let sampler =
            Sampler::start(std::process::id(), Duration::from_millis(5)).expect("we are alive");
        // Some CPU time, a thread that ends, and enough time for several samples.
        thread::spawn(|| (0..20_000_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(31)))
            .join()
            .expect("it only counts");
        while lock(&sampler.samples).len() < 2 {
            thread::yield_now();
        }
        let samples = sampler.finish();
        assert!(samples.len() >= 2);
        for pair in samples.windows(2) {
            assert!(pair[0].at <= pair[1].at && pair[0].cpu_s <= pair[1].cpu_s);
            assert!(pair[0].context_switches <= pair[1].context_switches);
            assert!(pair[1].rss_bytes > 0);
        }
    }

    #[test]
    fn a_process_that_dies_ends_the_series_and_not_the_run() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep exists");
        let sampler =
            Sampler::start(child.id(), Duration::from_millis(1)).expect("it has just started");
        child.kill().expect("it is ours");
        child.wait().expect("it was killed");
        assert!(!sampler.finish().is_empty());
        assert!(Sampler::start(child.id(), Duration::from_millis(1)).is_err());
    }

    #[test]
    fn costs_are_divided_by_what_they_were_spent_on() {
        let started = Instant::now();
        let look = |at_s: f64, cpu_s, rss_bytes, context_switches| Sample {
            at: started + Duration::from_secs_f64(at_s),
            cpu_s,
            rss_bytes,
            context_switches,
        };
        let samples = [
            look(0.0, 1.0, 1_000, 10),
            look(1.0, 1.5, 9_000, 30),
            look(2.0, 3.0, 5_000, 60),
        ];
        let mut outcome = sample::outcome();
        outcome.totals.deliveries = 1_000_000;
        outcome.totals.connections = 4;
        outcome.series = [0.0, 0.5, 1.5, 99.0]
            .map(|at_s| Point {
                at_s,
                ..Point::default()
            })
            .to_vec();
        outcome.phases = [(0.0, 0.5, 0), (0.5, 2.0, 1_000_000), (2.0, 9.0, 1)]
            .map(|(from_s, to_s, deliveries)| PhaseOutcome {
                from_s,
                to_s,
                deliveries,
                ..PhaseOutcome::default()
            })
            .to_vec();
        attach(&samples, started, &mut outcome);

        let phases: Vec<_> = outcome
            .phases
            .iter()
            .map(|it| (it.server_cpu_s, it.server_cpu_us_per_delivery))
            .collect();
        assert_eq!(
            phases,
            [(Some(0.25), None), (Some(1.75), Some(1.75)), (None, None)]
        );
        let server = &outcome.server;
        assert_eq!(
            (server.cpu_s, server.cpu_us_per_delivery),
            (Some(2.0), Some(2.0))
        );
        assert_eq!(
            (server.rss_peak_bytes, server.rss_bytes_per_connection),
            (Some(9_000), Some(2_000.0))
        );
        assert_eq!(server.context_switches, Some(50));
        let cpu: Vec<_> = outcome
            .series
            .iter()
            .map(|point| point.server_cpu_percent)
            .collect();
        assert_eq!(cpu, [Some(50.0), Some(50.0), Some(150.0), None]);
    }
}
