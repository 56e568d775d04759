//! What a node does now and did in the last hour.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::process::{ProcessMeter, memory_bytes};
use crate::actors::live_room::NodeTotals;
use crate::actors::{ClusterControl, SessionDirectory};
use crate::cluster::{ChartPoint, Charts, NodeFigures, Rates};

/// The figures of this node. Always on: it reads a dozen atomics every five seconds, and keeps an
/// hour of that in 60 KiB.
#[derive(Debug)]
pub struct NodeMonitor {
    totals: Arc<NodeTotals>,
    consoles_count: AtomicUsize,
    meter: Mutex<ProcessMeter>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    meter: ProcessMeter,
    /// The counts at the last point.
    counts: [u64; Rates::COUNT],
    /// At most [`Charts::POINTS_MAX`], oldest first.
    points: VecDeque<ChartPoint>,
}

impl NodeMonitor {
    pub fn new(totals: Arc<NodeTotals>) -> Arc<Self> {
        Arc::new(Self {
            totals,
            consoles_count: AtomicUsize::new(0),
            meter: Mutex::default(),
            recent: Mutex::default(),
        })
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // Nothing under the lock is half done after a panic that would make a chart worse than
        // wrong.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the node does now, with the sums of its rooms.
    pub fn figures(&self, rates: Rates, hub_batches_queued: usize) -> NodeFigures {
        let measured = self
            .meter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cpu();
        // At the first look in a while, what the last five seconds cost is near enough.
        let cpu = measured.or_else(|| self.recent().points.back().map(|point| point.cpu));
        NodeFigures {
            rates,
            cpu,
            memory_bytes: memory_bytes(),
            hub_batches_queued,
            consoles: self.consoles_count.load(Ordering::Relaxed),
        }
    }

    pub(super) fn set_consoles_count(&self, count: usize) {
        self.consoles_count.store(count, Ordering::Relaxed);
    }

    /// The last hour of this node.
    pub fn charts(&self) -> Charts {
        let points = self.recent().points.iter().copied().collect();
        Charts { points }
    }

    /// Adds what happened since the last point.
    fn sample(&self, at: i64, sessions: &SessionDirectory, writes_queued: usize) {
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let counts = self.totals.counts();
        let mut recent = self.recent();
        let seconds = Charts::STEP_MS as f32 / 1_000.0;
        let mut rates = [0.0; Rates::COUNT];
        for ((rate, now), before) in rates.iter_mut().zip(counts).zip(recent.counts) {
            *rate = now.saturating_sub(before) as f32 / seconds;
        }
        recent.counts = counts;
        let point = ChartPoint {
            at,
            sessions: small(sessions.sessions_count()),
            members: small(self.totals.members_count()),
            rooms: small(self.totals.rooms_count()),
            writes_queued: small(writes_queued),
            cpu: recent.meter.cpu().unwrap_or_default(),
            memory_bytes: memory_bytes().unwrap_or_default(),
            rates,
        };
        // A clock that was set back would make two points of one moment.
        recent.points.retain(|before| before.at < at);
        if recent.points.len() == Charts::POINTS_MAX {
            recent.points.pop_front();
        }
        recent.points.push_back(point);
    }
}

/// Begins to fill the charts of this node, on the calling thread and until its system ends.
pub fn start_charts(control: &Arc<ClusterControl>) {
    let control = control.clone();
    actix_rt::spawn(async move {
        loop {
            // At multiples of the step, so that the points of all nodes are of the same moments.
            let now = control.clock.now().0;
            let wait = Charts::STEP_MS - now.rem_euclid(Charts::STEP_MS);
            tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
            let now = control.clock.now().0;
            let at = now - now.rem_euclid(Charts::STEP_MS);
            let writes_queued = control.persister.queued_count();
            control.monitor.sample(at, &control.sessions, writes_queued);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NodeId;

    #[test]
    fn charts_keep_an_hour_and_a_clock_that_is_set_back_repeats_no_moment() {
        let monitor = NodeMonitor::new(Arc::default());
        let sessions = SessionDirectory::new(NodeId(0));
        for step in 1..=800 {
            monitor.sample(step * Charts::STEP_MS, &sessions, 3);
        }
        let charts = monitor.charts();
        assert_eq!(charts.points.len(), Charts::POINTS_MAX);
        assert_eq!(charts.points[0].at, 81 * Charts::STEP_MS);
        monitor.sample(790 * Charts::STEP_MS, &sessions, 5);
        let charts = monitor.charts();
        let last = charts.points.last().map(|it| (it.at, it.writes_queued));
        assert_eq!(last, Some((790 * Charts::STEP_MS, 5)));
        assert!(charts.points.windows(2).all(|two| two[0].at < two[1].at));
    }
}
