//! The bare writer: `send` to one socket after the other, and nothing else but what a full socket
//! buffer demands.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;
use rustix::time::{ClockId, clock_gettime};

use super::Progress;

/// How far, on average, each socket may be ahead of its reader. Enough to keep both sides busy, and
/// far below what the kernel would buffer: with thousands of sockets it would run out of memory.
const AHEAD_BYTES_PER_SOCKET: u64 = 16 * 1024;
/// Room for two rounds at least, or writer and reader would take turns.
const AHEAD_ROUNDS_MIN: u64 = 2;

/// How long the writer sleeps when it is too far ahead: short beside the time to catch up, long
/// beside the cost of a sleep.
const BREATH: Duration = Duration::from_micros(200);

const BLOCKED_WAIT_MS: u32 = 5;
const EVENTS_MAX: usize = 1024;

/// The result of one run of the writer.
pub struct Sent {
    pub started: Instant,
    pub bytes: u64,
    /// CPU time of the writing thread.
    pub cpu_s: f64,
}

pub struct Writer<'a> {
    sockets: &'a [TcpStream],
    /// The block that every socket gets, whole.
    block: &'a [u8],
    progress: &'a Progress,
    /// Reports which full socket has room again; edge-triggered, so that the others cost nothing.
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    /// By socket, how much of its last block is still to go. Such a socket skips rounds.
    unsent_bytes: Vec<usize>,
    blocked_count: usize,
    sent_bytes: u64,
}

impl<'a> Writer<'a> {
    pub fn new(
        sockets: &'a [TcpStream],
        block: &'a [u8],
        progress: &'a Progress,
    ) -> io::Result<Writer<'a>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, socket) in sockets.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(
                &epoll,
                socket,
                data,
                epoll::EventFlags::OUT | epoll::EventFlags::ET,
            )?;
        }
        Ok(Writer {
            sockets,
            block,
            progress,
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            unsent_bytes: vec![0; sockets.len()],
            blocked_count: 0,
            sent_bytes: 0,
        })
    }

    /// Rounds without a pause for `duration`, save that the reader is not outrun.
    pub fn burst(mut self, duration: Duration) -> io::Result<Sent> {
        let round_bytes = (self.block.len() * self.sockets.len()) as u64;
        let ahead_bytes_max = (AHEAD_BYTES_PER_SOCKET * self.sockets.len() as u64)
            .max(AHEAD_ROUNDS_MIN * round_bytes);
        let started = Instant::now();
        let cpu_before_s = thread_cpu_s();
        while started.elapsed() < duration {
            self.progress.check()?;
            self.send_round()?;
            while self.sent_bytes - self.progress.received_bytes.load(Ordering::Relaxed)
                > ahead_bytes_max
            {
                self.progress.check()?;
                thread::sleep(BREATH);
            }
        }
        self.finish(started, cpu_before_s)
    }

    /// One round each `interval`, the first at once; notes when each begins, as nanoseconds since
    /// `epoch`. A round that is late starts when it can.
    pub fn paced(
        mut self,
        epoch: Instant,
        interval: Duration,
        round_started_ns: &[AtomicU64],
    ) -> io::Result<Sent> {
        let started = Instant::now();
        let cpu_before_s = thread_cpu_s();
        for (round, started_ns) in (0..).zip(round_started_ns) {
            self.progress.check()?;
            thread::sleep((started + interval * round).saturating_duration_since(Instant::now()));
            // No block may be skipped here: the reader distinguishes the rounds by counting.
            self.send_rest()?;
            started_ns.store(epoch.elapsed().as_nanos() as u64, Ordering::Release);
            self.send_round()?;
        }
        self.finish(started, cpu_before_s)
    }

    fn send_round(&mut self) -> io::Result<()> {
        for index in 0..self.sockets.len() {
            if self.unsent_bytes[index] == 0 {
                self.send(index, self.block)?;
            }
        }
        if self.blocked_count > 0 {
            let all_blocked = self.blocked_count == self.sockets.len();
            self.resume_blocked(if all_blocked { BLOCKED_WAIT_MS } else { 0 })?;
        }
        Ok(())
    }

    /// Sends what fits; what does not is remembered, and counts the socket as blocked.
    fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let mut socket = &self.sockets[index];
        let taken = match socket.write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.sent_bytes += taken as u64;
        let unsent = bytes.len() - taken;
        self.blocked_count += usize::from(unsent > 0);
        self.unsent_bytes[index] = unsent;
        Ok(())
    }

    /// Goes on with the sockets that have room again.
    fn resume_blocked(&mut self, wait_ms: u32) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait_ms) * 1_000_000,
        };
        let mut events = std::mem::take(&mut self.events);
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)))?;
        for event in events.drain(..) {
            let index = { event.data }.u64() as usize;
            let unsent = self.unsent_bytes[index];
            // The first event of each socket only says that it is open.
            if unsent > 0 {
                self.blocked_count -= 1;
                self.send(index, &self.block[self.block.len() - unsent..])?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn send_rest(&mut self) -> io::Result<()> {
        while self.blocked_count > 0 {
            self.progress.check()?;
            self.resume_blocked(BLOCKED_WAIT_MS)?;
        }
        Ok(())
    }

    fn finish(mut self, started: Instant, cpu_before_s: f64) -> io::Result<Sent> {
        self.send_rest()?;
        let cpu_s = thread_cpu_s() - cpu_before_s;
        self.progress
            .sent_bytes
            .store(self.sent_bytes, Ordering::Release);
        Ok(Sent {
            started,
            bytes: self.sent_bytes,
            cpu_s,
        })
    }
}

fn thread_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
