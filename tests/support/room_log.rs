//! A room's log as a room sees it, the same for logs that give a place at once and for those that
//! give it later; and events to append.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use liveroom::clock::{Clock, SystemClock};
use liveroom::cluster::{Broker, FromLog, LogEntry, RoomLog};
use liveroom::domain::*;
use liveroom::protocol::read_event;
use tokio::sync::mpsc;

/// Far above what anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const NOW: Timestamp = Timestamp(1_795_294_582_778);

/// An open log and what came out of it.
pub struct Log {
    pub live_id: LiveId,
    pub position: Position,
    pub recent: Vec<Sequenced>,
    /// Who was there on other nodes when it opened.
    pub peers: Vec<PeerChange>,
    pub log: Box<dyn RoomLog>,
    told: mpsc::UnboundedSender<FromLog>,
    hears: mpsc::UnboundedReceiver<FromLog>,
    events: VecDeque<Sequenced>,
    changes: VecDeque<PeerChange>,
    known: VecDeque<GiftRecordId>,
    pub controls: Vec<Control>,
    shown: Shown,
}

/// Who is there on which other node.
#[derive(Default)]
struct Shown(BTreeMap<NodeId, BTreeMap<UserId, PeerUser>>);

impl Shown {
    fn take(&mut self, change: PeerChange) {
        match change {
            PeerChange::Present { node, user } => {
                _ = self.entry(node).insert(user.profile.id, user)
            }
            PeerChange::Absent { node, user } => _ = self.entry(node).remove(&user),
            PeerChange::All { node, users } => {
                *self.entry(node) = users
                    .into_iter()
                    .map(|user| (user.profile.id, user))
                    .collect();
            }
        }
    }

    fn entry(&mut self, node: NodeId) -> &mut BTreeMap<UserId, PeerUser> {
        self.0.entry(node).or_default()
    }

    fn of(&mut self, node: NodeId) -> &BTreeMap<UserId, PeerUser> {
        self.entry(node)
    }
}

impl Log {
    /// Opens a log and listens to it.
    pub async fn open(broker: &dyn Broker, live_id: LiveId) -> Self {
        let mut log = Self::open_deaf(broker, live_id).await;
        log.listen();
        log
    }

    /// Opens a log to which nobody listens yet.
    pub async fn open_deaf(broker: &dyn Broker, live_id: LiveId) -> Self {
        let opened = within("the log opens", broker.open(live_id)).await;
        let (told, hears) = mpsc::unbounded_channel();
        Self {
            live_id,
            position: opened.position,
            recent: opened.recent.into_iter().map(|(event, _)| event).collect(),
            peers: opened.peers,
            log: opened.log,
            told,
            hears,
            events: VecDeque::new(),
            changes: VecDeque::new(),
            known: VecDeque::new(),
            controls: Vec::new(),
            shown: Shown::default(),
        }
    }

    pub fn listen(&mut self) {
        let told = self.told.clone();
        self.log.listen(Box::new(move |from_log| {
            // The test may have heard enough.
            let _ = told.send(from_log);
        }));
    }

    pub fn append(&mut self, event: RoomEvent) {
        if let Some(sequenced) = self.log.append(event) {
            // Told at once.
            self.told
                .send(FromLog::Ordered(vec![sequenced]))
                .expect("this log hears itself");
        }
    }

    pub fn append_action(&mut self, entry: ActionEntry) {
        let delivered = match self.log.append_action(entry) {
            Some(LogEntry::Event(sequenced)) => FromLog::Ordered(vec![sequenced]),
            Some(LogEntry::Control(control)) => FromLog::Control(control),
            None => return,
        };
        self.told.send(delivered).expect("this log hears itself");
    }

    pub fn say(&mut self, text: &str) {
        self.append(notice(self.live_id, text));
    }

    async fn hear(&mut self, what: &str) {
        match within(what, self.hears.recv())
            .await
            .expect("the log is open")
        {
            FromLog::Ordered(events) => {
                self.log.ack(events.len());
                self.events.extend(events);
            }
            FromLog::Control(control) => self.controls.push(control),
            FromLog::ControlsMissed => panic!("{what}: controls are missing"),
            FromLog::EventsMissed => panic!("{what}: events are missing"),
            FromLog::GiftKnown(record, _) => self.known.push_back(record),
            FromLog::UsersWanted => {}
            FromLog::Peers(changes) => self.changes.extend(changes),
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Sequenced {
        while self.events.is_empty() {
            self.hear("an event").await;
        }
        self.events.pop_front().expect("it is not empty")
    }

    pub async fn next_many(&mut self, count: usize) -> Vec<Sequenced> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }

    /// What the next event says.
    pub async fn next_text(&mut self) -> String {
        text_of(&self.next().await)
    }

    /// What is said up to and with this text.
    pub async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            texts.push(self.next_text().await);
        }
        texts
    }

    /// Waits until what another node shows is as wanted.
    pub async fn until(&mut self, is_so: impl Fn(&BTreeMap<UserId, PeerUser>) -> bool, of: NodeId) {
        let mut before = std::mem::take(&mut self.peers);
        loop {
            for change in before.drain(..).chain(self.changes.drain(..)) {
                self.shown.take(change);
            }
            if is_so(self.shown.of(of)) {
                return;
            }
            self.hear("who is there").await;
        }
    }

    /// Whether there was any news of who is there on other nodes so far.
    pub fn has_heard_of_peers(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The next gift that another node announced before.
    pub async fn next_known_gift(&mut self) -> GiftRecordId {
        while self.known.is_empty() {
            self.hear("a gift that is known").await;
        }
        self.known.pop_front().expect("it is not empty")
    }
}

/// Waits for no longer than any test has to.
pub async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happens)
        .await
        .unwrap_or_else(|_| panic!("waited too long: {what}"))
}

/// Looks again and again until it finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, found).await
}

/// Runs a test.
pub fn block_on<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// A room that no other test of this program has.
pub fn new_live() -> LiveId {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    LiveId::new(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap()
}

/// A user that no other test of this program has.
pub fn new_user() -> UserId {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    UserId::new(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap()
}

pub fn profile(id: UserId) -> Arc<Profile> {
    Arc::new(Profile {
        id,
        name: format!("user {id}"),
        avatar: None,
    })
}

pub fn notice(live_id: LiveId, text: &str) -> RoomEvent {
    RoomEvent::Notice {
        live_id,
        text: text.into(),
    }
}

/// An event of a kind that this version does not know, as a node of a later version writes it now.
pub fn poll(live_id: LiveId, id: &str) -> RoomEvent {
    let at = SystemClock.now().0;
    let body = format!(r#"{{"live_id":{live_id},"id":"{id}","options":["a", "b"],"share":0.50}}"#);
    let line =
        format!(r#"{{"at":{at},"event":"poll","body":{body},"private":{{"by":7}},"later":true}}"#);
    read_event(&line).expect("an event of a later version").0
}

pub fn text_of(told: &Sequenced) -> String {
    let RoomEvent::Notice { text, .. } = &told.event else {
        panic!("not a notice: {told:?}")
    };
    text.to_string()
}

pub fn comment(live_id: LiveId, id: i64, text: &str) -> RoomEvent {
    RoomEvent::Comment(Arc::new(Comment {
        id: CommentId::new(id).unwrap(),
        live_id,
        author: profile(UserId::FIRST),
        text: CommentText::parse(text, 200).unwrap(),
        request_id: RequestId::parse(&format!("c-{id}")),
        at: NOW,
    }))
}

pub fn gift(live_id: LiveId, record: i64) -> RoomEvent {
    let gift = Gift {
        id: GiftId::FIRST,
        name: "小花".into(),
        image: "/f.png".into(),
        price: Coins::new(3),
    };
    let order = GiftOrder {
        live_id,
        giver: profile(UserId::FIRST),
        gift: Arc::new(gift),
        count: GiftCount::new(7).unwrap(),
        request_id: RequestId::parse(&format!("g-{record}")).unwrap(),
        at: NOW,
    };
    let receipt = GiftReceipt {
        record_id: GiftRecordId::new(record).unwrap(),
        total: Coins::new(21),
        giver_coin: Coins::new(4),
        live_coin: Coins::new(21 * record),
        at: NOW,
        duplicate: false,
    };
    RoomEvent::Gift {
        order: Arc::new(order),
        receipt,
    }
}

/// What the action of this id adds.
pub fn action(id: i64, content: EntryContent) -> ActionEntry {
    ActionEntry::of_action(ActionId::new(id).expect("ids are positive"), 0, content)
}

pub fn kick(user: i64) -> Control {
    Control::Kick {
        user: UserId::new(user).expect("ids are positive"),
        at: NOW,
    }
}
