//! The figures of a room, as it publishes them once a second: whoever wants to know reads them here
//! and asks nothing of the room.
//!
//! A room counts in plain numbers of its own. Its housekeeping copies them here, adds what is new
//! to the totals of the node, and so pays the same however many look.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cluster::{DropCounts, Rates};
use crate::domain::{RoomCounts, Timestamp};
use crate::outbox::Dropped;

/// Seconds over which rates are a mean.
const RATE_SECONDS: usize = 5;

/// The figures of one room on one node, at most a second old.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoomFigures {
    pub members_count: usize,
    pub users_count: usize,
    /// The live's total, ever.
    pub coin: i64,
    pub rates: Rates,
    /// Members whose outbox is full.
    pub slow_count: usize,
    pub drops: DropCounts,
    /// Batches that wait for a worker thread.
    pub hub_batches_count: usize,
}

/// Where the figures of a room are published.
#[derive(Debug, Default)]
pub struct PublishedFigures(Mutex<RoomFigures>);

impl PublishedFigures {
    fn lock(&self) -> MutexGuard<'_, RoomFigures> {
        // Held for a copy, which cannot panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read(&self) -> RoomFigures {
        *self.lock()
    }
}

/// What hubs dropped for members of one room.
#[derive(Debug, Default)]
pub struct HubDrops {
    events: AtomicU64,
    states: AtomicU64,
}

impl HubDrops {
    /// Counts what an outbox dropped when it was full.
    pub fn count(&self, dropped: Dropped) {
        self.events
            .fetch_add(dropped.events.into(), Ordering::Relaxed);
        self.states
            .fetch_add(dropped.states.into(), Ordering::Relaxed);
    }
}

/// Counts of all rooms of a node since it started, and the sums of what they have now.
#[derive(Debug, Default)]
pub struct NodeTotals {
    counts: [AtomicU64; Rates::COUNT],
    rooms: AtomicI64,
    members: AtomicI64,
}

impl NodeTotals {
    /// In the order of [`Rates::NAMES`].
    pub fn counts(&self) -> [u64; Rates::COUNT] {
        self.counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Open rooms.
    pub fn rooms_count(&self) -> usize {
        usize::try_from(self.rooms.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Sessions in rooms.
    pub fn members_count(&self) -> usize {
        usize::try_from(self.members.load(Ordering::Relaxed)).unwrap_or_default()
    }
}

/// The room's side: publishes until it is dropped with the room.
#[derive(Debug)]
pub struct FiguresPublisher {
    totals: Arc<NodeTotals>,
    hub_drops: Arc<HubDrops>,
    cut_slow: u64,
    cut_overrun: u64,
    /// The counts of the last seconds, oldest first.
    recent: VecDeque<(Timestamp, [u64; Rates::COUNT])>,
    members_published: i64,
}

/// What a room has now.
#[derive(Debug, Clone, Copy)]
pub struct RoomGauges {
    pub members_count: usize,
    pub users_count: usize,
    pub coin: i64,
    pub slow_count: usize,
    pub hub_batches_count: usize,
}

impl FiguresPublisher {
    pub fn new(totals: Arc<NodeTotals>, now: Timestamp) -> Self {
        totals.rooms.fetch_add(1, Ordering::Relaxed);
        Self {
            totals,
            hub_drops: Arc::default(),
            cut_slow: 0,
            cut_overrun: 0,
            recent: VecDeque::from([(now, [0; Rates::COUNT])]),
            members_published: 0,
        }
    }

    /// Where hubs count what they drop.
    pub fn hub_drops(&self) -> &Arc<HubDrops> {
        &self.hub_drops
    }

    /// A member was cut because its outbox stayed full.
    pub fn count_slow(&mut self) {
        self.cut_slow += 1;
    }

    /// Members were cut because their worker did not take what the room had for it.
    pub fn count_overrun(&mut self, members_count: usize) {
        self.cut_overrun += members_count as u64;
    }

    /// Publishes what the room counted and what it has now. Called about once a second.
    pub fn publish(
        &mut self,
        counts: RoomCounts,
        gauges: RoomGauges,
        now: Timestamp,
        published: &PublishedFigures,
    ) {
        let drops = DropCounts {
            events: self.hub_drops.events.load(Ordering::Relaxed),
            states: self.hub_drops.states.load(Ordering::Relaxed),
            slow: self.cut_slow,
            overrun: self.cut_overrun,
        };
        let counts = counts_by_rate(counts, drops);
        self.add_to_totals(&counts, gauges.members_count);
        *published.lock() = RoomFigures {
            members_count: gauges.members_count,
            users_count: gauges.users_count,
            coin: gauges.coin,
            rates: self.rates(counts, now),
            slow_count: gauges.slow_count,
            drops,
            hub_batches_count: gauges.hub_batches_count,
        };
    }

    fn add_to_totals(&mut self, counts: &[u64; Rates::COUNT], members_count: usize) {
        let before = self.recent.back().map_or([0; Rates::COUNT], |(_, it)| *it);
        for ((total, now), before) in self.totals.counts.iter().zip(counts).zip(before) {
            // An idle room writes nothing that other threads read.
            if *now > before {
                total.fetch_add(now - before, Ordering::Relaxed);
            }
        }
        let members = members_count as i64;
        if members != self.members_published {
            let change = members - self.members_published;
            self.totals.members.fetch_add(change, Ordering::Relaxed);
            self.members_published = members;
        }
    }

    fn rates(&mut self, counts: [u64; Rates::COUNT], now: Timestamp) -> Rates {
        self.recent.push_back((now, counts));
        while self.recent.len() > RATE_SECONDS + 1 {
            self.recent.pop_front();
        }
        let Some((since, first)) = self.recent.front() else {
            return Rates::default();
        };
        // A room that opened just now, or a clock that jumped: a second at least.
        let seconds = now.since(*since).max(1_000) as f32 / 1_000.0;
        let mut rates = [0.0; Rates::COUNT];
        for ((rate, count), first) in rates.iter_mut().zip(counts).zip(first) {
            *rate = count.saturating_sub(*first) as f32 / seconds;
        }
        Rates::from_array(rates)
    }
}

impl Drop for FiguresPublisher {
    fn drop(&mut self) {
        self.totals.rooms.fetch_sub(1, Ordering::Relaxed);
        self.totals
            .members
            .fetch_sub(self.members_published, Ordering::Relaxed);
    }
}

/// In the order of [`Rates::NAMES`].
fn counts_by_rate(counts: RoomCounts, drops: DropCounts) -> [u64; Rates::COUNT] {
    let RoomCounts {
        joins,
        comments_in,
        comments_shown,
        comments_sampled,
        comments_held,
        gifts,
        coins,
    } = counts;
    [
        joins,
        comments_in,
        comments_shown,
        comments_sampled,
        comments_held,
        gifts,
        coins,
        drops.sum(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAUGES: RoomGauges = RoomGauges {
        members_count: 2,
        users_count: 2,
        coin: 0,
        slow_count: 0,
        hub_batches_count: 0,
    };

    fn counted(comments_in: u64) -> RoomCounts {
        RoomCounts {
            comments_in,
            ..RoomCounts::default()
        }
    }

    #[test]
    fn rates_are_a_mean_over_five_seconds_and_end_with_what_they_count() {
        let totals = Arc::<NodeTotals>::default();
        let mut publisher = FiguresPublisher::new(totals.clone(), Timestamp(0));
        let published = PublishedFigures::default();
        let mut rates = Vec::new();
        for second in 1..=12 {
            let comments_in = (second * 10).min(50);
            publisher.publish(
                counted(comments_in),
                GAUGES,
                Timestamp(second as i64 * 1_000),
                &published,
            );
            rates.push(published.read().rates.comments_in);
        }
        assert_eq!(rates[..6], [10.0, 10.0, 10.0, 10.0, 10.0, 8.0]);
        assert_eq!(rates[9..], [0.0, 0.0, 0.0]);
        assert_eq!(totals.counts()[1], 50, "each is counted once");
    }

    #[test]
    fn the_totals_of_a_node_forget_the_members_of_a_room_that_ended_and_keep_its_counts() {
        let totals = Arc::<NodeTotals>::default();
        let mut first = FiguresPublisher::new(totals.clone(), Timestamp(0));
        let mut second = FiguresPublisher::new(totals.clone(), Timestamp(0));
        let published = PublishedFigures::default();
        first.publish(counted(3), GAUGES, Timestamp(1_000), &published);
        let less = RoomGauges {
            members_count: 1,
            ..GAUGES
        };
        second.publish(counted(4), GAUGES, Timestamp(1_000), &published);
        second.publish(counted(4), less, Timestamp(2_000), &published);
        assert_eq!((totals.rooms_count(), totals.members_count()), (2, 3));
        drop(first);
        assert_eq!((totals.rooms_count(), totals.members_count()), (1, 1));
        assert_eq!(totals.counts()[1], 7);
    }

    #[test]
    fn drops_are_counted_by_reason_and_as_a_rate() {
        let mut publisher = FiguresPublisher::new(Arc::default(), Timestamp(0));
        let published = PublishedFigures::default();
        publisher.hub_drops().count(Dropped {
            events: 5,
            states: 2,
        });
        publisher.count_slow();
        publisher.count_overrun(2);
        publisher.publish(counted(0), GAUGES, Timestamp(1_000), &published);
        let figures = published.read();
        let expected = DropCounts {
            events: 5,
            states: 2,
            slow: 1,
            overrun: 2,
        };
        assert_eq!((figures.drops, figures.rates.drops), (expected, 10.0));
    }
}
