//! A row that another transaction locks, in an operator's open terminal for instance, delays only
//! the writes that need it: comments and other gifts of the node go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::database::{Database, NOW, new_postgres, on_postgres, order, profile};
use actix::prelude::{Actor as _, *};
use liveroom::actors::persister::{
    Persister, PersisterPort, RoomPersister, WriteTicket, WritesDone,
};
use liveroom::config::LimitsConfig;
use liveroom::domain::*;
use liveroom::storage::{Attempt, RowLock, Write, WriteOutcome};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Half of the time that a node waits for a row: a write that took that long did wait.
const PROMPT: Duration = Duration::from_millis(2_500);
/// Far above what anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);

struct Books {
    db: Database,
    givers: [UserId; 3],
    lives: [LiveId; 2],
    rose: Arc<Gift>,
}

impl Books {
    async fn new(db: Database) -> Self {
        let givers = [
            db.user("ann", 100).await.id,
            db.user("bob", 100).await.id,
            db.user("cy", 100).await.id,
        ];
        let lives = [
            db.live(givers[0], "one").await,
            db.live(givers[0], "two").await,
        ];
        let rose = db.gift(7).await;
        Self {
            db,
            givers,
            lives,
            rose,
        }
    }

    fn gift(&self, giver: usize, live: usize, request_id: &str) -> Write {
        Write::Gift(Arc::new(order(
            self.lives[live],
            self.givers[giver],
            &self.rose,
            1,
            request_id,
        )))
    }

    fn comment(&self, author: usize, live: usize, id: i64) -> Write {
        Write::Comment(Arc::new(Comment {
            id: CommentId::new(id).unwrap(),
            live_id: self.lives[live],
            author: profile(self.givers[author]),
            text: CommentText::parse("hello", 200).unwrap(),
            request_id: None,
            at: NOW,
        }))
    }

    fn view(&self, user: usize, live: usize) -> Write {
        Write::View {
            live_id: self.lives[live],
            user_id: self.givers[user],
        }
    }
}

fn is_given(attempt: &Attempt) -> bool {
    matches!(attempt, Attempt::Done(WriteOutcome::Gift(Ok(_))))
}

#[test]
fn a_batch_goes_on_without_writes_that_need_a_locked_row() {
    on_postgres(async |db| {
        let books = Books::new(db).await;
        let holder = books
            .db
            .hold(&format!(
                "UPDATE lives SET title = 'x' WHERE id = {}",
                books.lives[0]
            ))
            .await;
        let batch = vec![
            books.gift(0, 1, "a"),
            books.gift(1, 0, "b"),
            books.gift(1, 1, "c"),
            books.gift(2, 1, "d"),
            books.view(2, 1),
            books.view(2, 0),
        ];
        let attempts = books
            .db
            .store
            .commit_skip_locked(batch.clone())
            .await
            .unwrap();
        let blocked = Attempt::Blocked(RowLock::Total(books.lives[0]));
        assert!(
            is_given(&attempts[0]) && is_given(&attempts[3]),
            "{attempts:?}"
        );
        // The third is the second's giver again: it comes after.
        assert_eq!([&attempts[1], &attempts[2], &attempts[5]], [&blocked; 3]);
        assert_eq!(attempts[4], Attempt::Done(WriteOutcome::View(Some(1))));
        // A live whose row is about to change still takes comments.
        let commented = books
            .db
            .store
            .commit_skip_locked(vec![books.comment(1, 0, 1)])
            .await
            .unwrap();
        assert_eq!(commented, [Attempt::Done(WriteOutcome::Comment(Ok(())))]);

        holder.release().await;
        let again = books.db.store.commit_skip_locked(batch).await.unwrap();
        assert!(again[..4].iter().all(is_given), "{again:?}");
        assert_eq!(
            again[4..],
            [
                Attempt::Done(WriteOutcome::View(None)),
                Attempt::Done(WriteOutcome::View(Some(1)))
            ]
        );
        assert_eq!(books.db.coin(books.givers[1]).await, 100 - 14);
        books.db.assert_books_balance().await;
    });
}

#[test]
fn a_locked_user_or_gift_blocks_its_own_writes_only() {
    on_postgres(async |db| {
        let books = Books::new(db).await;
        let lock = format!(
            "SELECT 1 FROM users WHERE id = {} FOR UPDATE",
            books.givers[1]
        );
        let holder = books.db.hold(&lock).await;
        let gifts = vec![books.gift(1, 0, "a"), books.gift(0, 0, "b")];
        let attempts = books.db.store.commit_skip_locked(gifts).await.unwrap();
        assert_eq!(
            attempts[0],
            Attempt::Blocked(RowLock::Balance(books.givers[1]))
        );
        assert!(is_given(&attempts[1]), "{attempts:?}");
        // A comment needs nobody's row: not its author's, and in a batch not what others wait for.
        let writes = vec![
            books.comment(1, 0, 1),
            books.view(1, 0),
            books.comment(0, 0, 2),
            books.view(0, 0),
        ];
        let attempts = books.db.store.commit_skip_locked(writes).await.unwrap();
        let done = Attempt::Done(WriteOutcome::Comment(Ok(())));
        assert_eq!([&attempts[0], &attempts[2]], [&done; 2]);
        assert_eq!(
            attempts[1],
            Attempt::Blocked(RowLock::User(books.givers[1]))
        );
        assert_eq!(attempts[3], Attempt::Done(WriteOutcome::View(Some(1))));
        holder.release().await;

        let holder = books.db.hold("SELECT 1 FROM gifts FOR UPDATE").await;
        let attempts = books
            .db
            .store
            .commit_skip_locked(vec![books.gift(0, 0, "c")])
            .await
            .unwrap();
        assert_eq!(attempts, [Attempt::Blocked(RowLock::Gift(books.rose.id))]);
        holder.release().await;
        books.db.assert_books_balance().await;
    });
}

/// All rooms of a node: what became of their writes, as it is told.
struct Room(mpsc::UnboundedSender<(WriteTicket, WriteOutcome)>);

impl actix::Actor for Room {
    type Context = Context<Self>;
}

impl Handler<WritesDone> for Room {
    type Result = ();

    fn handle(&mut self, done: WritesDone, _: &mut Context<Self>) {
        for answer in done.0 {
            self.0.send(answer).unwrap();
        }
    }
}

/// A node's persister, and all that it answers.
struct Node {
    port: PersisterPort,
    room: RoomPersister,
    answers: mpsc::UnboundedReceiver<(WriteTicket, WriteOutcome)>,
}

impl Node {
    fn start(books: &Books) -> Self {
        let (answers_tx, answers) = mpsc::unbounded_channel();
        let limits = LimitsConfig {
            ledger_batch: 10,
            ..LimitsConfig::default()
        };
        let port = Persister::start_in(&Arbiter::new().handle(), books.db.store.clone(), &limits);
        let room = port.for_room(Room(answers_tx).start());
        Self {
            port,
            room,
            answers,
        }
    }

    /// Submits a write under a number, which its answer will carry.
    fn submit(&self, number: u64, write: Write) {
        self.room.submit(write, WriteTicket::Gift(number)).unwrap();
    }

    async fn answer(&mut self) -> (u64, WriteOutcome) {
        match timeout(PATIENCE, self.answers.recv())
            .await
            .expect("an answer in time")
            .unwrap()
        {
            (WriteTicket::Gift(number), outcome) => (number, outcome),
            other => panic!("{other:?}"),
        }
    }
}

#[actix::test]
async fn other_rooms_go_on_while_a_live_and_a_user_are_locked() {
    let Some(db) = new_postgres().await else {
        return;
    };
    let books = Books::new(db).await;
    let mut node = Node::start(&books);
    let live = books
        .db
        .hold(&format!(
            "UPDATE lives SET title = 'x' WHERE id = {}",
            books.lives[0]
        ))
        .await;
    let user = books
        .db
        .hold(&format!(
            "UPDATE users SET avatar = 'x' WHERE id = {}",
            books.givers[1]
        ))
        .await;
    node.submit(1, books.gift(0, 0, "into-the-locked-live"));
    node.submit(2, books.gift(1, 1, "from-the-locked-user"));
    node.submit(3, books.view(0, 0));
    for round in 0..5 {
        let begun = Instant::now();
        node.submit(10, books.gift(2, 1, &format!("other-{round}")));
        node.submit(11, books.comment(0, 0, 100 + round));
        node.submit(12, books.comment(1, 1, 200 + round));
        let mut answered = Vec::new();
        for _ in 0..3 {
            let (number, outcome) = node.answer().await;
            let done = matches!(
                outcome,
                WriteOutcome::Gift(Ok(_)) | WriteOutcome::Comment(Ok(()))
            );
            assert!(done, "{number}: {outcome:?}");
            answered.push(number);
        }
        answered.sort_unstable();
        assert_eq!(answered, [10, 11, 12]);
        assert!(
            begun.elapsed() < PROMPT,
            "round {round} took {:?}",
            begun.elapsed()
        );
    }
    live.release().await;
    user.release().await;
    let mut late = Vec::new();
    for _ in 0..3 {
        late.push(node.answer().await.0);
    }
    late.sort_unstable();
    assert_eq!(late, [1, 2, 3]);
    timeout(PATIENCE, node.port.flush())
        .await
        .expect("nothing is left over");
    books.db.assert_books_balance().await;
}

#[actix::test]
async fn gifts_blocked_by_a_locked_row_stay_in_order_and_are_refused_in_the_end() {
    let Some(db) = new_postgres().await else {
        return;
    };
    let books = Books::new(db).await;
    let mut node = Node::start(&books);
    let holder = books
        .db
        .hold(&format!(
            "UPDATE lives SET title = 'x' WHERE id = {}",
            books.lives[0]
        ))
        .await;
    node.submit(1, books.gift(0, 0, "one"));
    node.submit(2, books.gift(0, 1, "two"));
    let (number, first) = node.answer().await;
    assert_eq!(
        (number, first),
        (1, WriteOutcome::Gift(Err(GiftRefusal::Busy)))
    );
    let (number, second) = node.answer().await;
    assert_eq!(number, 2);
    assert!(matches!(second, WriteOutcome::Gift(_)), "{second:?}");
    // Somebody else's row is no reason to refuse everybody's gifts.
    node.submit(3, books.gift(2, 1, "three"));
    assert!(matches!(
        node.answer().await,
        (3, WriteOutcome::Gift(Ok(_)))
    ));

    for (number, request_id) in [(4, "one"), (5, "five"), (6, "six")] {
        node.submit(number, books.gift(0, 0, request_id));
    }
    holder.release().await;
    let mut coins = Vec::new();
    for expected in 4..=6 {
        let (number, outcome) = node.answer().await;
        let WriteOutcome::Gift(Ok(receipt)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((number, receipt.duplicate), (expected, false));
        coins.push(receipt.live_coin.get());
    }
    assert_eq!(coins, [7, 14, 21]);
    books.db.assert_books_balance().await;
}
