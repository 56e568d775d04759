//! The load: gifts at full speed, or at a steady rate.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use liveroom::domain::*;

/// Left out of each measurement at its beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// Far beyond what any gift may take.
const PATIENCE: Duration = Duration::from_secs(60);
const LATENCY_US_MAX: u64 = 120_000_000;

/// Gifts that were committed, by their numbers, and when it was known.
pub struct Answered {
    pub gifts: Vec<u64>,
    pub at: Instant,
}

/// What takes gifts and answers when they are durable.
pub trait Sink {
    fn give(&mut self, number: u64, order: Arc<GiftOrder>);
}

/// Who gives, and into what.
#[derive(Clone, Copy)]
pub struct Givers {
    pub lives: i64,
    pub givers: i64,
}

/// Makes gifts of one coin. Not at random: a step that shares no factor with the number of givers
/// meets all of them in an order that looks like it.
pub struct Orders {
    givers: Vec<Arc<Profile>>,
    lives: Vec<LiveId>,
    gift: Arc<Gift>,
    next: u64,
}

impl Orders {
    pub fn new(of: Givers) -> Self {
        let profile = |id| {
            Arc::new(Profile {
                id: UserId::new(id).expect("an id"),
                name: "giver".into(),
                avatar: None,
            })
        };
        let gift = Gift {
            id: GiftId::FIRST,
            name: "rose".into(),
            image: "/rose.png".into(),
            price: Coins::new(1),
        };
        Self {
            givers: (1..=of.givers).map(profile).collect(),
            lives: (1..=of.lives)
                .map(|id| LiveId::new(id).expect("an id"))
                .collect(),
            gift: Arc::new(gift),
            next: 0,
        }
    }

    pub fn given(&self) -> u64 {
        self.next
    }

    fn make(&mut self) -> (u64, Arc<GiftOrder>) {
        let number = self.next;
        self.next += 1;
        let pick = |step: u64, among: usize| (number.wrapping_mul(step) % among as u64) as usize;
        let order = GiftOrder {
            live_id: self.lives[pick(37, self.lives.len())],
            giver: self.givers[pick(617, self.givers.len())].clone(),
            gift: self.gift.clone(),
            count: GiftCount::ONE,
            request_id: RequestId::parse(&format!("gift-{number}")).expect("a request id"),
            at: Timestamp(1_795_294_582_778),
        };
        (number, Arc::new(order))
    }
}

/// What one measurement saw.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub gifts_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} gifts/s, p50 {:.1} ms, p99 {:.1} ms",
            self.gifts_per_s, self.p50_ms, self.p99_ms
        )
    }
}

/// What is on its way, since when, and what came back in the time that counts.
struct Tally {
    begun: HashMap<u64, Instant>,
    from: Instant,
    until: Instant,
    answered: u64,
    latency_us: Histogram<u64>,
}

impl Tally {
    fn new(length: Duration) -> Self {
        let from = Instant::now() + WARM_UP;
        let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3).expect("bounds of a histogram");
        Self {
            begun: HashMap::new(),
            from,
            until: from + length,
            answered: 0,
            latency_us,
        }
    }

    fn take(&mut self, answered: &Answered) {
        let counts = answered.at >= self.from && answered.at < self.until;
        for number in &answered.gifts {
            let begun = self
                .begun
                .remove(number)
                .expect("answered once, and only what was given");
            if counts {
                self.answered += 1;
                let waited = answered.at.saturating_duration_since(begun).as_micros() as u64;
                self.latency_us.saturating_record(waited);
            }
        }
    }

    /// Waits for what is still on its way.
    fn finish(mut self, answers: &Receiver<Answered>) -> Figures {
        while !self.begun.is_empty() {
            self.take(
                &answers
                    .recv_timeout(PATIENCE)
                    .expect("every gift is answered"),
            );
        }
        let ms = |quantile| self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        let seconds = (self.until - self.from).as_secs_f64();
        Figures {
            gifts_per_s: self.answered as f64 / seconds,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        }
    }
}

/// Keeps `in_flight` gifts on their way.
pub fn saturate(
    sink: &mut dyn Sink,
    answers: &Receiver<Answered>,
    orders: &mut Orders,
    in_flight: usize,
    length: Duration,
) -> Figures {
    let mut tally = Tally::new(length);
    while Instant::now() < tally.until {
        while tally.begun.len() < in_flight {
            let (number, order) = orders.make();
            tally.begun.insert(number, Instant::now());
            sink.give(number, order);
        }
        tally.take(&answers.recv_timeout(PATIENCE).expect("gifts are answered"));
        while let Ok(more) = answers.try_recv() {
            tally.take(&more);
        }
    }
    tally.finish(answers)
}

/// Gives at a steady rate, however long answers take; latency counts from the moment at which a
/// gift was due.
pub fn pace(
    sink: &mut dyn Sink,
    answers: &Receiver<Answered>,
    orders: &mut Orders,
    gifts_per_s: f64,
    length: Duration,
) -> Figures {
    let mut tally = Tally::new(length);
    let began = Instant::now();
    let mut given = 0_u64;
    loop {
        let due = began + Duration::from_secs_f64(given as f64 / gifts_per_s);
        if due >= tally.until {
            return tally.finish(answers);
        }
        match answers.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(answered) => tally.take(&answered),
            Err(RecvTimeoutError::Timeout) => {
                let (number, order) = orders.make();
                tally.begun.insert(number, due);
                sink.give(number, order);
                given += 1;
            }
            Err(RecvTimeoutError::Disconnected) => panic!("nobody is left to answer"),
        }
    }
}
