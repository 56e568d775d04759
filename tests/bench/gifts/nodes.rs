//! liveroom's side: for each node a store and a persister of its own, as in the server.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use actix::prelude::*;
use liveroom::actors::persister::{Persister, RoomPersister, WriteTicket, WritesDone};
use liveroom::config::LimitsConfig;
use liveroom::domain::GiftOrder;
use liveroom::storage::{self, Store, StoreOptions, Write, WriteOutcome};

use crate::load::{Answered, Sink};

/// Far above what a node takes to start.
const START_MAX: Duration = Duration::from_secs(60);

pub struct Nodes {
    nodes: Vec<RoomPersister>,
    threads: Vec<Arbiter>,
}

impl Nodes {
    /// Starts `count` nodes on one database. Gifts go to one after the other.
    pub fn start(
        url: &str,
        count: usize,
        limits: &LimitsConfig,
        actors: &ArbiterHandle,
        answers: &Sender<Answered>,
    ) -> Self {
        let mut sink = Self {
            nodes: Vec::new(),
            threads: Vec::new(),
        };
        for _ in 0..count {
            let (url, limits, answers) = (url.to_owned(), limits.clone(), answers.clone());
            let (started_tx, started) = mpsc::channel();
            let here = actors.clone();
            let begin = async move {
                let store: Arc<dyn Store> = storage::open(&url, StoreOptions::default())
                    .await
                    .expect("the store opens");
                let thread = Arbiter::new();
                let port = Persister::start_in(&thread.handle(), store, &limits);
                let room = Room { answers }.start_on(&here);
                let _ = started_tx.send((port.for_room(room), thread));
            };
            actors.spawn(begin);
            let (node, thread) = started.recv_timeout(START_MAX).expect("a node starts");
            sink.nodes.push(node);
            sink.threads.push(thread);
        }
        sink
    }
}

impl Sink for Nodes {
    fn give(&mut self, number: u64, order: Arc<GiftOrder>) {
        let node = &self.nodes[number as usize % self.nodes.len()];
        node.submit(Write::Gift(order), WriteTicket::Gift(number))
            .expect("the persister takes it");
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            thread.stop();
            thread.join().expect("a persister ends in peace");
        }
    }
}

/// Stands for all rooms of a node: hears what became of their gifts.
struct Room {
    answers: Sender<Answered>,
}

impl Room {
    fn start_on(self, actors: &ArbiterHandle) -> Addr<Self> {
        Self::start_in_arbiter(actors, move |_| self)
    }
}

impl Actor for Room {
    type Context = Context<Self>;
}

impl Handler<WritesDone> for Room {
    type Result = ();

    fn handle(&mut self, done: WritesDone, _: &mut Context<Self>) {
        let committed = |(ticket, outcome)| match (ticket, outcome) {
            (WriteTicket::Gift(number), WriteOutcome::Gift(Ok(receipt))) if !receipt.duplicate => {
                number
            }
            other => panic!("a gift was not taken: {other:?}"),
        };
        let answered = Answered {
            gifts: done.0.into_iter().map(committed).collect(),
            at: Instant::now(),
        };
        // Whoever measures may have seen enough.
        let _ = self.answers.send(answered);
    }
}
