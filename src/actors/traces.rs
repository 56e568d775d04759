//! Traces: what one user does, or what happens in one room, written down for some minutes.
//!
//! Each node notes what it sees itself, in its log and in a ring that operators read through
//! [`ClusterControl::trace`](super::ClusterControl::trace). While there is no trace, all that a
//! session or a room pays is [`Traces::is_on`].

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::info;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::cluster::{TraceAsked, TraceFound, TraceLine, TraceSpec};
use crate::domain::{LiveId, SessionId, UserId};

/// The longest trace, in seconds.
pub const TRACE_SECONDS_MAX: u32 = 900;
/// Traces at once, on each node: more are refused.
pub const TRACES_MAX: usize = 4;
/// Lines that one trace notes in a second, on each node. More are counted and dropped.
const LINES_PER_S: u32 = 500;
/// Lines of one trace that wait to be read. The oldest is dropped for one more.
const LINES_KEPT: usize = 2_000;
/// Lines of one answer.
const LINES_ANSWERED: usize = 1_000;
/// For how long the lines of a trace can be read after its end, in milliseconds.
const KEPT_MS: i64 = 60_000;
/// Sessions that one trace recognises as those of its user.
const SESSIONS_MAX: usize = 256;

/// Why a trace does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many traces as there may be are under way")]
pub struct TracesFull;

/// What a line is about. A trace takes it if any of it is traced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced {
    pub user: Option<UserId>,
    pub live: Option<LiveId>,
    pub session: Option<SessionId>,
}

/// The traces of this node.
pub struct Traces {
    is_on: AtomicBool,
    traces: Mutex<Vec<Trace>>,
    clock: Arc<dyn Clock>,
}

struct Trace {
    spec: TraceSpec,
    /// Sessions that acted as the user: answers to them name no user.
    sessions: HashSet<SessionId>,
    lines: VecDeque<TraceLine>,
    last: u64,
    dropped: u64,
    /// The second of the latest line, and the lines in it.
    second: (i64, u32),
}

impl Traces {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            is_on: AtomicBool::new(false),
            traces: Mutex::new(Vec::new()),
            clock,
        }
    }

    /// Whether anything is traced on this node.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Trace>> {
        // Every change under the lock leaves whole lines behind.
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what nobody can read any more, and finds out whether a trace goes on.
    fn tidy(&self, traces: &mut Vec<Trace>, now_ms: i64) {
        traces.retain(|trace| now_ms < trace.spec.ends_at_ms.saturating_add(KEPT_MS));
        let is_on = traces.iter().any(|trace| trace.is_running(now_ms));
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    /// Begins a trace, unless it is known.
    pub fn begin(&self, spec: TraceSpec) -> Result<(), TracesFull> {
        let now_ms = self.clock.now().0;
        let mut traces = self.lock();
        self.tidy(&mut traces, now_ms);
        if traces.iter().any(|trace| trace.spec.id == spec.id) {
            return Ok(());
        }
        let running = traces.iter().filter(|trace| trace.is_running(now_ms));
        if running.count() >= TRACES_MAX {
            return Err(TracesFull);
        }
        // One that is over makes room for the new one.
        if traces.len() >= 2 * TRACES_MAX {
            traces.remove(0);
        }
        info!(target: "liveroom::trace", "trace began: id={} user_id={:?} live_id={:?}", spec.id, spec.user_id, spec.live_id);
        traces.push(Trace {
            spec,
            sessions: HashSet::new(),
            lines: VecDeque::new(),
            last: 0,
            dropped: 0,
            second: (0, 0),
        });
        self.tidy(&mut traces, now_ms);
        Ok(())
    }

    /// The traces that go on, or whose lines can still be read.
    pub fn list(&self) -> Vec<TraceSpec> {
        let mut traces = self.lock();
        self.tidy(&mut traces, self.clock.now().0);
        traces.iter().map(|trace| trace.spec.clone()).collect()
    }

    /// Answers a question about a trace. `node`: this one.
    pub fn answer(&self, asked: &TraceAsked, node: &str) -> TraceFound {
        if let Some(spec) = &asked.spec {
            // As many as there may be: this node has no lines of it.
            let _ = self.begin(spec.clone());
        }
        let now_ms = self.clock.now().0;
        let mut traces = self.lock();
        let mut found = TraceFound::default();
        if let Some(trace) = traces.iter_mut().find(|trace| trace.spec.id == asked.id) {
            if asked.ends && trace.is_running(now_ms) {
                trace.spec.ends_at_ms = now_ms;
                info!(target: "liveroom::trace", "trace ended: id={}", trace.spec.id);
            }
            found.spec = Some(trace.spec.clone());
            found.dropped = trace.dropped;
            if let Some(after) = &asked.after {
                let after = after.get(node).copied().unwrap_or(0);
                let lines = trace.lines.iter().filter(|line| line.number > after);
                found.lines = lines.take(LINES_ANSWERED).cloned().collect();
                found.last = found.lines.last().map_or(after, |line| line.number);
            }
        }
        self.tidy(&mut traces, now_ms);
        found
    }

    /// Notes a line in the traces that it concerns. Texts of users belong into the field `text`,
    /// which the log leaves out.
    pub fn note(&self, about: Traced, what: &'static str, fields: impl Fn() -> Map<String, Value>) {
        let now_ms = self.clock.now().0;
        let mut traces = self.lock();
        let mut is_over = false;
        for trace in traces.iter_mut() {
            if !trace.is_running(now_ms) {
                is_over = true;
            } else if trace.concerns(about) && trace.may_note(now_ms) {
                trace.note(now_ms, about, what, fields());
            }
        }
        if is_over {
            self.tidy(&mut traces, now_ms);
        }
    }
}

impl Trace {
    fn is_running(&self, now_ms: i64) -> bool {
        now_ms < self.spec.ends_at_ms
    }

    /// Whether a line belongs here. A session that acts as the user is known from then on.
    fn concerns(&mut self, about: Traced) -> bool {
        let is_user = about
            .user
            .is_some_and(|user| self.spec.user_id == Some(user.get()));
        if let Some(session) = about.session.filter(|_| is_user)
            && self.sessions.len() < SESSIONS_MAX
        {
            self.sessions.insert(session);
        }
        is_user
            || about
                .live
                .is_some_and(|live| self.spec.live_id == Some(live.get()))
            || about
                .session
                .is_some_and(|session| self.sessions.contains(&session))
    }

    /// Whether one more line fits into this second.
    fn may_note(&mut self, now_ms: i64) -> bool {
        let second = now_ms.div_euclid(1_000);
        if self.second.0 != second {
            self.second = (second, 0);
        }
        let fits = self.second.1 < LINES_PER_S;
        if fits {
            self.second.1 += 1;
        } else {
            self.dropped += 1;
        }
        fits
    }

    fn note(&mut self, at_ms: i64, about: Traced, what: &str, fields: Map<String, Value>) {
        self.last += 1;
        let line = TraceLine {
            number: self.last,
            at_ms,
            what: what.to_owned(),
            user_id: about.user.map(UserId::get),
            live_id: about.live.map(LiveId::get),
            session_id: about.session.map(|session| session.0),
            fields,
        };
        info!(target: "liveroom::trace", "{}", Logged { id: &self.spec.id, line: &line });
        if self.lines.len() >= LINES_KEPT {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }
}

/// A line as the log has it: without texts, and with control characters escaped as JSON does.
struct Logged<'a> {
    id: &'a str,
    line: &'a TraceLine,
}

impl std::fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = self.line;
        write!(f, "trace: id={} what={}", self.id, line.what)?;
        for (name, number) in [("user_id", line.user_id), ("live_id", line.live_id)] {
            if let Some(number) = number {
                write!(f, " {name}={number}")?;
            }
        }
        if let Some(session) = line.session_id {
            write!(f, " session_id={session}")?;
        }
        for (name, value) in line.fields.iter().filter(|(name, _)| *name != "text") {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicI64;

    use serde_json::json;

    use super::*;
    use crate::domain::Timestamp;

    struct StepClock(AtomicI64);

    impl Clock for StepClock {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    fn spec(id: &str, user_id: Option<i64>, live_id: Option<i64>) -> TraceSpec {
        TraceSpec {
            id: id.into(),
            user_id,
            live_id,
            by: "config".into(),
            began_at_ms: 0,
            ends_at_ms: 10_000,
        }
    }

    fn setting() -> (Arc<StepClock>, Traces) {
        let clock = Arc::new(StepClock(AtomicI64::new(0)));
        (clock.clone(), Traces::new(clock))
    }

    fn about(user: Option<i64>, live: Option<i64>, session: Option<u64>) -> Traced {
        Traced {
            user: user.and_then(UserId::new),
            live: live.and_then(LiveId::new),
            session: session.map(SessionId),
        }
    }

    fn fields() -> Map<String, Value> {
        let fields = json!({"command": "comment", "text": "secret\nline"});
        fields.as_object().cloned().unwrap()
    }

    fn lines(traces: &Traces, id: &str, after: u64) -> TraceFound {
        let asked = TraceAsked {
            id: id.into(),
            spec: None,
            after: Some(BTreeMap::from([("n".to_owned(), after)])),
            ends: false,
        };
        traces.answer(&asked, "n")
    }

    #[test]
    fn a_trace_has_what_its_user_does_and_what_its_sessions_are_answered() {
        let (_, traces) = setting();
        assert!(!traces.is_on());
        traces.begin(spec("a", Some(1), None)).unwrap();
        traces.begin(spec("b", None, Some(9))).unwrap();
        assert!(traces.is_on());
        traces.note(about(None, Some(9), Some(5)), "answer", fields);
        traces.note(about(Some(1), Some(8), Some(5)), "command", fields);
        traces.note(about(None, Some(8), Some(5)), "answer", fields);
        traces.note(about(Some(2), Some(8), Some(6)), "command", fields);
        let whats = |id| {
            let found = lines(&traces, id, 0);
            found
                .lines
                .into_iter()
                .map(|line| line.what)
                .collect::<Vec<_>>()
        };
        assert_eq!(whats("a"), ["command", "answer"]);
        assert_eq!(whats("b"), ["answer"]);
        let rest = lines(&traces, "a", 1);
        assert_eq!((rest.lines.len(), rest.last), (1, 2));
        assert_eq!(lines(&traces, "a", 2).last, 2);
        assert_eq!(lines(&traces, "unknown", 0), TraceFound::default());
    }

    #[test]
    fn a_trace_ends_by_itself_and_its_lines_stay_a_while() {
        let (clock, traces) = setting();
        traces.begin(spec("a", None, Some(9))).unwrap();
        traces.note(about(None, Some(9), None), "event", fields);
        clock.0.store(10_000, Ordering::Relaxed);
        traces.note(about(None, Some(9), None), "event", fields);
        assert!(!traces.is_on());
        assert_eq!(lines(&traces, "a", 0).lines.len(), 1);
        clock.0.store(10_000 + KEPT_MS, Ordering::Relaxed);
        assert!(traces.list().is_empty());
        assert_eq!(lines(&traces, "a", 0).spec, None);
    }

    #[test]
    fn a_trace_that_is_ended_notes_nothing_more_anywhere_it_is_known() {
        let (_, traces) = setting();
        let asked = |spec, ends| TraceAsked {
            id: "a".into(),
            spec,
            after: None,
            ends,
        };
        traces.answer(&asked(Some(spec("a", None, Some(9))), false), "n");
        assert!(traces.is_on());
        let found = traces.answer(&asked(None, true), "n");
        assert_eq!(found.spec.map(|spec| spec.ends_at_ms), Some(0));
        assert!(!traces.is_on());
    }

    #[test]
    fn lines_and_traces_are_bounded_and_what_is_dropped_is_counted() {
        let (clock, traces) = setting();
        traces.begin(spec("a", None, Some(9))).unwrap();
        for _ in 0..LINES_PER_S + 7 {
            traces.note(about(None, Some(9), None), "event", fields);
        }
        assert_eq!(lines(&traces, "a", 0).dropped, 7);
        for second in 1..=4 {
            clock.0.store(second * 1_000, Ordering::Relaxed);
            for _ in 0..LINES_PER_S {
                traces.note(about(None, Some(9), None), "event", fields);
            }
        }
        let found = lines(&traces, "a", 0);
        assert_eq!(found.lines.len(), LINES_ANSWERED);
        assert_eq!(found.dropped, 7 + u64::from(LINES_PER_S));
        for id in ["b", "c", "d"] {
            traces.begin(spec(id, None, Some(1))).unwrap();
        }
        assert_eq!(traces.begin(spec("e", None, Some(1))), Err(TracesFull));
        assert_eq!(
            traces.begin(spec("a", None, Some(9))),
            Ok(()),
            "it is known"
        );
        clock.0.store(10_000, Ordering::Relaxed);
        assert_eq!(traces.begin(spec("e", None, Some(1))), Ok(()));
    }

    #[test]
    fn the_log_has_no_texts_and_one_line_for_each() {
        let mut fields = fields();
        fields.insert("request_id".into(), json!("a\u{1b}[31m\nfake"));
        let line = TraceLine {
            number: 1,
            at_ms: 0,
            what: "command".into(),
            user_id: Some(1),
            live_id: None,
            session_id: Some(5),
            fields,
        };
        let logged = Logged {
            id: "a",
            line: &line,
        };
        assert_eq!(
            logged.to_string(),
            r#"trace: id=a what=command user_id=1 session_id=5 command="comment" request_id="a\u001b[31m\nfake""#
        );
    }
}
