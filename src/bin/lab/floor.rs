//! The physical limit of a machine: what a bare epoll writer needs to give ready-made frames to a
//! number of loopback sockets. No server that sends as many comments in a `send` can be cheaper, so
//! reports give our figures as ratios to it.
//!
//! One thread writes, pinned to one core, and one reads, pinned to another; where there is only one
//! core they share it. The kernel bills a loopback packet's way up to the receiver's socket to the
//! sender, here as for any server on the same machine. Figures move with the machine's mood (a
//! neighbour, a clock rate), which is why a floor belongs to the run it was measured in.

mod reader;
mod wire;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::outcome::{Floor, FloorPoint};
use reader::Reader;
use wire::Loopback;
use writer::{Sent, Writer};

/// From a calm room to a saturated one.
const COMMENTS_PER_SEND: [usize; 3] = [1, 10, 50];

/// Each point is measured as often, and the best counts: a floor is the least that is needed, and
/// whatever else the machine does only adds to it.
const BURSTS: u32 = 3;

/// The pace at which the time from send to receipt is taken.
const PACED_COMMENTS_PER_S: f64 = 50.0;

const SOCKETS_MAX: usize = 200_000;
const SECONDS_MAX: f64 = 60.0;

/// Longer receipts count as this long.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Measures at 1, 10 and 50 comments per send, each first as fast as it goes and then paced at 50
/// comments a second, each for `seconds`: six times `seconds` in all, and a little more.
/// `frame_bytes` is a whole WebSocket frame with its header. Blocks: call it from a thread that
/// may.
pub fn measure(sockets: usize, frame_bytes: usize, seconds: f64) -> io::Result<Floor> {
    if !(1..=SOCKETS_MAX).contains(&sockets) {
        return Err(invalid(format!(
            "{sockets} sockets: expected 1 to {SOCKETS_MAX}"
        )));
    }
    if !(seconds > 0.0 && seconds <= SECONDS_MAX) {
        return Err(invalid(format!(
            "{seconds} seconds: expected more than 0 and at most {SECONDS_MAX}"
        )));
    }
    let frame = wire::frame(frame_bytes)?;
    let loopback = Loopback::open(sockets)?;
    let cores = Cores::choose()?;
    let duration = Duration::from_secs_f64(seconds);
    let points = COMMENTS_PER_SEND
        .into_iter()
        .map(|comments| {
            let block = frame.repeat(comments);
            let bursts = (0..BURSTS)
                .map(|_| burst(&loopback, &cores, &block, duration / BURSTS))
                .collect::<io::Result<Vec<_>>>()?;
            let receipts = paced(&loopback, &cores, &block, comments, duration)?;
            let frames = |burst: &Burst| burst.bytes as f64 / frame_bytes as f64;
            let rates = bursts.iter().map(|burst| frames(burst) / burst.elapsed_s);
            let costs_us = bursts.iter().map(|burst| burst.cpu_s * 1e6 / frames(burst));
            Ok(FloorPoint {
                comments_per_send: comments as u64,
                deliveries_per_s: rates.fold(0.0, f64::max),
                cpu_us_per_delivery: costs_us.fold(f64::INFINITY, f64::min),
                p99_ms: receipts.value_at_quantile(0.99) as f64 / 1e6,
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    Ok(Floor {
        sockets: sockets as u64,
        frame_bytes: frame_bytes as u64,
        points,
    })
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Where the two threads run.
struct Cores {
    writer: CpuSet,
    reader: CpuSet,
}

impl Cores {
    /// The last and the first of those allowed: interrupts tend to go to the first, and sibling
    /// threads of one physical core tend to be neighbours or half a machine apart.
    fn choose() -> io::Result<Cores> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let first = cores.next().unwrap_or(0);
        let last = cores.next_back().unwrap_or(first);
        let only = |core| {
            let mut set = CpuSet::new();
            set.set(core);
            set
        };
        Ok(Cores {
            writer: only(last),
            reader: only(first),
        })
    }
}

/// The state that the two threads share.
struct Progress {
    received_bytes: AtomicU64,
    /// `u64::MAX` until the writer is done.
    sent_bytes: AtomicU64,
    failed: AtomicBool,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(u64::MAX),
            failed: AtomicBool::new(false),
        }
    }

    /// One side ended early: the other stops waiting for it.
    fn check(&self) -> io::Result<()> {
        match self.failed.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }

    /// Runs one side on its core, and notifies the other side if it fails.
    fn run<T>(&self, core: &CpuSet, side: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let result = sched_setaffinity(None, core)
            .map_err(io::Error::from)
            .and_then(|()| side());
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Runs both sides to their end. If one fails, its error is the answer, not the other's echo of it.
fn together(
    cores: &Cores,
    progress: &Progress,
    write: impl FnOnce() -> io::Result<Sent> + Send,
    read: impl FnOnce() -> io::Result<()> + Send,
) -> io::Result<Sent> {
    thread::scope(|scope| {
        let reader = scope.spawn(|| progress.run(&cores.reader, read));
        let writer = scope.spawn(|| progress.run(&cores.writer, write));
        let panicked = |_| io::Error::other("a floor thread panicked");
        let sent = writer.join().map_err(panicked)?;
        let read = reader.join().map_err(panicked)?;
        match (sent, read) {
            (Err(error), _) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            (_, Err(error)) => Err(error),
            (sent, Ok(())) => sent,
        }
    })
}

struct Burst {
    bytes: u64,
    cpu_s: f64,
    elapsed_s: f64,
}

/// As many blocks to every socket as go out in `duration`, all of them received.
fn burst(
    loopback: &Loopback,
    cores: &Cores,
    block: &[u8],
    duration: Duration,
) -> io::Result<Burst> {
    let progress = Progress::new();
    let write = || Writer::new(&loopback.senders, block, &progress)?.burst(duration);
    let read = || Reader::new(&loopback.receivers, &progress)?.run(|_, _| {});
    let sent = together(cores, &progress, write, read)?;
    Ok(Burst {
        bytes: sent.bytes,
        cpu_s: sent.cpu_s,
        elapsed_s: sent.started.elapsed().as_secs_f64(),
    })
}

/// Blocks to every socket at 50 comments a second; for each and every block, the nanoseconds from
/// the start of its round of sends to its receipt.
fn paced(
    loopback: &Loopback,
    cores: &Cores,
    block: &[u8],
    comments: usize,
    duration: Duration,
) -> io::Result<Histogram<u64>> {
    let interval = Duration::from_secs_f64(comments as f64 / PACED_COMMENTS_PER_S);
    let rounds = (duration.as_secs_f64() / interval.as_secs_f64())
        .ceil()
        .max(1.0) as usize;
    let progress = Progress::new();
    let epoch = Instant::now();
    let round_started_ns: Vec<AtomicU64> = (0..rounds).map(|_| AtomicU64::new(0)).collect();
    let mut received_bytes = vec![0_usize; loopback.receivers.len()];
    let mut receipts = Histogram::new_with_max(LATENCY_NS_MAX, 3).map_err(io::Error::other)?;

    let write = || {
        Writer::new(&loopback.senders, block, &progress)?.paced(epoch, interval, &round_started_ns)
    };
    let read = || {
        Reader::new(&loopback.receivers, &progress)?.run(|socket, bytes| {
            let now_ns = epoch.elapsed().as_nanos() as u64;
            let before = received_bytes[socket] / block.len();
            received_bytes[socket] += bytes;
            for started_ns in &round_started_ns[before..received_bytes[socket] / block.len()] {
                receipts
                    .saturating_record(now_ns.saturating_sub(started_ns.load(Ordering::Acquire)));
            }
        })
    };
    together(cores, &progress, write, read)?;
    Ok(receipts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_floor_has_figures_for_one_ten_and_fifty_comments_per_send() {
        let floor = measure(10, 150, 0.2).expect("ten sockets can be had anywhere");
        assert_eq!((floor.sockets, floor.frame_bytes), (10, 150));
        let comments: Vec<_> = floor
            .points
            .iter()
            .map(|point| point.comments_per_send)
            .collect();
        assert_eq!(comments, [1, 10, 50]);
        for point in &floor.points {
            assert!(
                point.deliveries_per_s > 0.0
                    && point.cpu_us_per_delivery > 0.0
                    && point.p99_ms > 0.0,
                "{point:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_in_words() {
        let refused = |sockets, frame_bytes, seconds| {
            let error = measure(sockets, frame_bytes, seconds).expect_err("it makes no sense");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            error.to_string()
        };
        assert_eq!(refused(0, 150, 1.0), "0 sockets: expected 1 to 200000");
        assert_eq!(
            refused(10, 1, 1.0),
            "frames of 1 bytes: expected 3 to 65539"
        );
        assert_eq!(
            refused(10, 150, f64::NAN),
            "NaN seconds: expected more than 0 and at most 60"
        );
    }

    #[test]
    fn a_side_that_fails_ends_the_other_and_is_the_one_to_say_why() {
        let cores = Cores::choose().expect("there is a core");
        let loopback = Loopback::open(1).expect("one pair");
        let message = |sent: io::Result<Sent>| sent.err().map(|error| error.to_string());

        let progress = Progress::new();
        let read = || Reader::new(&loopback.receivers, &progress)?.run(|_, _| {});
        let failure = together(&cores, &progress, || Err(io::Error::other("no ink")), read);
        assert_eq!(message(failure).as_deref(), Some("no ink"));

        let progress = Progress::new();
        let write =
            || Writer::new(&loopback.senders, b"x", &progress)?.burst(Duration::from_secs(60));
        let failure = together(&cores, &progress, write, || {
            Err(io::Error::other("no eyes"))
        });
        assert_eq!(message(failure).as_deref(), Some("no eyes"));
    }
}
