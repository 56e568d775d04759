//! Drives the members of a run: one thread, one epoll, one queue of things to do.
//!
//! The loop reads sockets in large pieces and walks frame heads in place; per delivery it costs a
//! comparison with what other members received and one count in a histogram. So one core takes in
//! what several cores of a server send.

mod actions;
mod closed_loop;
mod holds;
mod member;
mod moderation;
mod net;
mod polling;
mod receive;
mod rooms;
mod schedule;
mod settle;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::accounts::Account;
use crate::client::{Carrier, Connection, Pump, Side, frames};
use crate::commands::Commands;
use crate::judge::{self, Offences};
use crate::progress::Progress;
use crate::rng::Rng;
use crate::script::Script;
use crate::setup::Setup;
use crate::standings::Act;
use crate::stats::Stats;

pub use member::{Member, Reading, Room, Seat};
use net::{Net, Slot};
use schedule::{Phases, Schedule};

/// One read takes in at most so much; shared by all connections.
const READ_BYTES: usize = 256 * 1024;

/// Reads from one connection in a row, before others get their turn.
const READS_IN_A_ROW: usize = 4;

/// Socket reports handled between looks at the clock.
const REPORTS_AT_ONCE: usize = 64;

const TIMER: Token = Token(usize::MAX);

/// A request of the driver to the thread that speaks HTTP.
#[derive(Debug, Clone, Copy)]
pub enum Errand {
    /// The new status of a room's live.
    Status { room: usize, kind: &'static str },
    /// The streamer's list of terms, as an act asks for it.
    Terms { act: usize, lines: &'static str },
}

/// The driver's ends of the channels to that thread.
pub struct Errands {
    pub asked: mpsc::Sender<Errand>,
    /// The acts that were done.
    pub done: mpsc::Receiver<usize>,
}

pub struct Driver<'a> {
    script: &'a Script,
    setup: &'a Setup,
    pub members: Vec<Member>,
    pub rooms: Vec<Room>,
    pub commands: Commands,
    /// What moderators asked for, in all rooms.
    pub acts: Vec<Act>,
    /// Acts that are done and whose effect is not judged yet.
    unjudged_acts: usize,
    pub offences: Offences,
    /// Refusals and closes, by code.
    pub refusals: BTreeMap<String, u64>,
    pub stats: Stats,
    phases: Phases,
    schedule: Schedule,
    rng: Rng,
    net: Net,
    timer: OwnedFd,
    timer_set_for: u64,
    started: Instant,
    /// `None` once the run is over.
    errands: Option<Errands>,
    progress: Progress,
    /// Members with more to read than one turn took.
    unread: Vec<usize>,
    buffer: Vec<u8>,
    /// When the latest event came to a member that reads as fast as it can.
    last_received_ns: u64,
}

impl<'a> Driver<'a> {
    pub fn new(
        script: &'a Script,
        setup: &'a Setup,
        seed: u64,
        errands: Errands,
        progress: Progress,
    ) -> io::Result<Self> {
        let net = Net::new(setup.base.address, *script.script.per_address.get_ref())?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        net.poll.registry().register(
            &mut SourceFd(&timer.as_raw_fd()),
            TIMER,
            Interest::READABLE,
        )?;
        let mut driver = Self {
            script,
            setup,
            members: Vec::new(),
            rooms: Vec::new(),
            commands: Commands::default(),
            acts: Vec::new(),
            unjudged_acts: 0,
            offences: Offences::default(),
            refusals: BTreeMap::new(),
            stats: Stats::default(),
            phases: Phases::new(&script.phases),
            schedule: Schedule::default(),
            rng: Rng::new(seed),
            net,
            timer,
            timer_set_for: 0,
            started: Instant::now(),
            errands: Some(errands),
            progress,
            unread: Vec::new(),
            buffer: vec![0; READ_BYTES],
            last_received_ns: 0,
        };
        driver.populate();
        Ok(driver)
    }

    /// Runs the script to its end and until everything has arrived, or the time for that is up.
    /// Returns its length in seconds, from the first connect to the last receipt.
    pub fn run(&mut self) -> io::Result<f64> {
        self.started = Instant::now();
        let end_ns = self.phases.end_ns();
        let give_up_ns = end_ns + self.script.script.settle.as_nanos() as u64;
        let mut events = Events::with_capacity(1024);
        loop {
            self.act_until_now();
            let now = self.now_ns();
            if now >= end_ns && (now >= give_up_ns || self.is_settled(now)) {
                break;
            }
            let limit = if now < end_ns {
                end_ns
            } else {
                now + settle::LOOK_NS
            };
            self.wait(
                &mut events,
                limit.min(self.schedule.next_ns().unwrap_or(u64::MAX)),
            )?;
            let reports: Vec<_> = events
                .iter()
                .filter(|event| event.token() != TIMER)
                .map(Report::from)
                .collect();
            for batch in reports.chunks(REPORTS_AT_ONCE) {
                for report in batch {
                    self.on_report(report);
                }
                self.act_until_now();
            }
            for member in std::mem::take(&mut self.unread) {
                self.pump(member);
            }
        }
        let last_ns = self.last_received_ns.max(end_ns.min(self.now_ns()));
        self.tick();
        // The last may have ended while the loop was busy.
        self.end_phases(end_ns);
        self.stats
            .end_phase("settle", (self.now_ns().max(end_ns)) as f64 / 1e9);
        self.progress.finish();
        Ok(last_ns as f64 / 1e9)
    }

    /// Their thread outlives the run; were it gone, its end would be reported.
    fn send_errand(&self, errand: Errand) {
        if let Some(errands) = &self.errands {
            let _ = errands.asked.send(errand);
        }
    }

    /// No streamer asks for anything any more.
    pub fn end_errands(&mut self) {
        self.errands = None;
    }

    pub fn script(&self) -> &Script {
        self.script
    }

    pub fn account(&self, member: usize) -> &'a Account {
        self.members[member]
            .user
            .map_or(&self.setup.owner, |user| &self.setup.users[user])
    }

    /// Closes the connections of all members.
    pub fn close_all(&mut self) {
        for (index, member) in self.members.iter_mut().enumerate() {
            if let Some(mut polling) = member.polling.take() {
                polling.close(self.net.dial(index, Slot::Line(Side::Post), false));
            }
            if let Some(mut conn) = member.conn.take() {
                conn.close();
            }
        }
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Waits for sockets, but not beyond `until_ns`. A timer of its own, because epoll's timeout
    /// counts in whole milliseconds and a comment may be due in tens of microseconds.
    fn wait(&mut self, events: &mut Events, until_ns: u64) -> io::Result<()> {
        let now = self.now_ns();
        let timeout = if until_ns <= now || !self.unread.is_empty() {
            Some(Duration::ZERO)
        } else {
            None
        };
        if timeout.is_none() && self.timer_set_for != until_ns {
            let length = Duration::from_nanos((until_ns - now).max(1));
            let at = Timespec {
                tv_sec: length.as_secs() as i64,
                tv_nsec: i64::from(length.subsec_nanos()),
            };
            let once = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            timerfd_settime(
                &self.timer,
                TimerfdTimerFlags::empty(),
                &Itimerspec {
                    it_interval: once,
                    it_value: at,
                },
            )?;
            self.timer_set_for = until_ns;
        }
        match self.net.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            outcome => outcome,
        }
    }

    fn act_until_now(&mut self) {
        while let Some((at_ns, action)) = self.schedule.pop_due(self.now_ns()) {
            self.act(at_ns, action);
        }
        let done = |errands: &Errands| errands.done.try_recv().ok();
        while let Some(act) = self.errands.as_ref().and_then(done) {
            self.on_act_done(act, self.now_ns());
        }
    }

    fn on_report(&mut self, report: &Report) {
        let index = report.member;
        if let Slot::Line(side) = report.slot {
            self.on_line_report(report, side);
            return;
        }
        if report.writable {
            let outcome = self.members[index]
                .conn
                .as_mut()
                .map_or(Ok(()), Connection::on_writable);
            if let Err(error) = outcome {
                self.lose(index, &io_code(&error));
                return;
            }
        }
        if report.readable {
            // A reader that was cut off wakes up: the close code is behind what it did not read.
            if report.ended && !self.members[index].reads_at_once() {
                self.members[index].reading = Reading::Full;
            }
            if self.members[index].reads_at_once() {
                self.pump(index);
            }
        }
    }

    /// Reads what there is for a member.
    fn pump(&mut self, index: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.pump_carrier_into(index, &mut buffer, READ_BYTES, READS_IN_A_ROW);
        self.buffer = buffer;
        if let Err(code) = outcome {
            self.lose(index, &code);
        }
    }

    /// Reads from whatever carries the session, or is to.
    fn pump_carrier_into(
        &mut self,
        index: usize,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
        reads: usize,
    ) -> Result<(), String> {
        self.pump_line_into(index, Side::Poll, buffer, bytes_max, reads)?;
        self.pump_into(index, buffer, bytes_max, reads)
    }

    /// Reads at most `reads` times `bytes_max`. An error is the code the connection ended with.
    fn pump_into(
        &mut self,
        index: usize,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
        reads: usize,
    ) -> Result<(), String> {
        for _ in 0..reads {
            let Some(conn) = self.members[index].conn.as_mut() else {
                return Ok(());
            };
            let (filled, pump) = conn
                .fill(buffer, bytes_max)
                .map_err(|error| io_code(&error))?;
            let now_ns = self.now_ns();
            self.stats.bytes += filled as u64;
            let used = self.take_in(index, &buffer[..filled], now_ns)?;
            if let Some(conn) = self.members[index].conn.as_mut() {
                conn.keep(&buffer[used..filled]);
                // The kept bytes are counted when they are read together with the rest.
                self.stats.bytes -= (filled - used) as u64;
            }
            match pump {
                Pump::Drained => return Ok(()),
                Pump::Ended => return Err("close_1006".to_owned()),
                Pump::More => {}
            }
        }
        if self.members[index].reads_at_once() {
            self.unread.push(index);
        }
        Ok(())
    }

    /// Handles whole frames and returns how many bytes they took.
    fn take_in(&mut self, index: usize, bytes: &[u8], now_ns: u64) -> Result<usize, String> {
        let mut at = 0;
        let Some(conn) = self.members[index].conn.as_mut() else {
            return Ok(0);
        };
        if !conn.is_upgraded() {
            match conn.read_head(bytes)? {
                None => return Ok(0),
                Some(used) => at = used,
            }
            self.on_upgraded(index, now_ns)
                .map_err(|error| io_code(&error))?;
        }
        loop {
            match frames::next(&bytes[at..]) {
                frames::Step::Partial => return Ok(at),
                frames::Step::Faulty(what) => {
                    self.offences
                        .add(judge::WIRE, || format!("member {index} got {what}"));
                    return Err("close_1002".to_owned());
                }
                frames::Step::Frame {
                    opcode,
                    payload,
                    used,
                } => {
                    at += used;
                    self.stats.frames += 1;
                    self.on_frame(index, opcode, payload, now_ns)?;
                }
            }
        }
    }

    /// Starts a connection for a member that has none.
    fn connect(&mut self, index: usize) {
        let token = &self.account(index).token;
        let (kind, carrier) = (self.members[index].kind, self.members[index].carrier);
        let path = match &self.script.target.templates {
            None => kind.path(carrier, token, "/ws", "/socket.io/"),
            Some(templates) => {
                let path = kind.path(carrier, "", &templates.path, &templates.socketio_path);
                self.fill(&path, index, 0, "", "")
            }
        };
        let outcome = match carrier {
            Carrier::WebSocket => self.start_websocket(index, &path),
            Carrier::Polling | Carrier::Upgrade => self.start_polling(index, path),
        };
        match outcome {
            Ok(()) => {
                self.members[index].session += 1;
                self.members[index].seat = Seat::Connecting;
            }
            Err(error) => self.lose(index, &io_code(&error)),
        }
    }

    fn start_websocket(&mut self, index: usize, path: &str) -> io::Result<()> {
        let member = &mut self.members[index];
        let dial = self
            .net
            .dial(index, Slot::WebSocket, member.reading != Reading::Full);
        member.conn = Some(Connection::start(dial, path)?);
        Ok(())
    }
}

/// The events of one socket that epoll reported.
struct Report {
    member: usize,
    slot: Slot,
    readable: bool,
    writable: bool,
    ended: bool,
}

impl From<&mio::event::Event> for Report {
    fn from(event: &mio::event::Event) -> Self {
        let ended = event.is_read_closed() || event.is_error();
        let (member, slot) = net::owner_of(event.token());
        Self {
            member,
            slot,
            readable: event.is_readable() || ended,
            writable: event.is_writable(),
            ended,
        }
    }
}

/// A stable word for what the socket said.
fn io_code(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect_refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "close_1006".to_owned(),
        kind => format!("socket_{kind:?}").to_ascii_lowercase(),
    }
}
