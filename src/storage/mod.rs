//! Durable rows, behind one trait with two implementations.
//!
//! The only users of diesel are in this folder. There is no business rule here beyond a WHERE
//! clause: the store says what the books say, the domain says what it means.

mod accounts;
mod actions;
mod api_tokens;
mod audit;
mod audit_chain;
mod audit_log;
mod audit_rows;
mod audit_rules;
mod batch;
mod changes;
mod error;
mod grants;
mod managers;
mod pages;
mod postgres;
mod row_locks;
mod rows;
mod schema;
mod sqlite;
#[cfg(test)]
pub mod testing;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::{
    ActionEntry, ActionId, Coins, Comment, CommentId, CommentWriteError, Gift, GiftOrder,
    GiftReceipt, GiftRefusal, HeldComment, HeldDecision, HoldRefusal, Live, LiveId, LiveModes,
    LiveStatus, MissedEntries, Pin, Reject, Role, Sanction, SanctionId, Standings, Timestamp,
    UserFacts, UserId,
};

pub use accounts::{
    Credentials, LOGIN_NETWORKS_MAX, ProfileChange, ProfileOutcome, StoredToken, User,
};
pub use actions::{ActionRecord, Change, ChangedStanding, PendingAction, Performed};
pub use api_tokens::{API_TOKEN_USE_MS, API_TOKENS_MAX, ApiToken, ApiTokenStore, NewApiToken};
pub use audit::{AuditFault, AuditReport};
pub use audit_chain::{ChainFault, ChainReport, SealHead, SealHorizon, SealStep, hex};
pub use audit_log::{AUDIT_SCANNED_MAX, AuditEntry, AuditFilter, AuditPage, AuditPosition};
pub use audit_rows::{ActAuthor, AuditRow};
pub use changes::{CHANGES_KEPT, CHANGES_MAX, FeedPage, FeedPosition, RowChange};
pub use grants::{CoinGrant, GrantOutcome};
pub use managers::{
    AddedManager, ChangedManager, MANAGER_IDLE_MS, MANAGER_SESSIONS_MAX, MANAGERS_MAX,
    ManagerChange, ManagerCredentials, ManagerLink, ManagerRow, ManagerSession, ManagerStore,
    NewManagerSession,
};
pub use pages::{
    AccountEntry, BookAccount, COMMENTS_LOOKED_AT_MAX, CommentRange, FollowOutcome,
    FollowedStreamer, GiftEntry, Giver, ReportedRow, Reporter, RowActor, ShownComment,
    UserComments, UserSanction,
};
pub use postgres::PostgresStore;
pub use row_locks::{Attempt, RowLock, Sequence};
pub use sqlite::SqliteStore;

/// A fault below the SQL. Logged once, where it is handled; never shown to a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, a timeout, a full disk: the same call may succeed later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The database and this program disagree; retrying is useless.
    #[error("store fault: {0}")]
    Fault(String),
}

/// The options of both databases, besides their URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Connections at once. Writes of SQLite have one more to themselves, batches of PostgreSQL
    /// three.
    pub connections_max: u32,
    /// How long a call waits for a connection, for another process's transaction or for a row.
    pub wait_ms: u32,
    /// How long one statement may run in PostgreSQL; the audit is exempt. A call that is not
    /// answered two seconds after that is given up with its connection. SQLite cannot say.
    pub statement_ms: u32,
    /// Calls waiting for a connection; one more is refused as unavailable.
    pub queue_max: usize,
    /// Certificate authorities for TLS to PostgreSQL, PEM; empty: the public ones.
    pub ca_file: String,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            connections_max: 4,
            wait_ms: 5_000,
            statement_ms: 10_000,
            queue_max: 1_024,
            ca_file: String::new(),
        }
    }
}

/// Opens the database that `url` names and brings it up to date: `sqlite://path/to/file`, or
/// `postgres://` and `postgresql://` as PostgreSQL knows them.
pub async fn open(url: &str, options: StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(path) = url.strip_prefix("sqlite://") {
        return Ok(Arc::new(SqliteStore::open(Path::new(path), options).await?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(PostgresStore::connect(url, options).await?));
    }
    // Not repeated in the message: it may hold a password.
    Err(StoreError::Fault(
        "store url starts with none of sqlite://, postgres://, postgresql://".into(),
    ))
}

/// Copies the database that `url` names into the new file `to` while servers use it, and returns the
/// size of the copy in bytes. SQLite alone: PostgreSQL has programs of its own for that. Blocks.
pub fn backup(url: &str, to: &Path) -> Result<u64, StoreError> {
    match url.strip_prefix("sqlite://") {
        Some(from) => sqlite::backup(Path::new(from), to),
        None => Err(StoreError::Fault(
            "store.url is not SQLite: copy PostgreSQL with pg_dump".into(),
        )),
    }
}

/// Whether [`open`] could use this address. `Err`: what is expected instead, without the address.
pub fn check_url(url: &str) -> Result<(), String> {
    if url.starts_with("sqlite://") {
        Ok(())
    } else {
        PostgresStore::check_url(url)
    }
}

/// Whether connections to this address use TLS.
pub fn is_encrypted(url: &str) -> bool {
    !url.starts_with("sqlite://") && PostgresStore::is_encrypted(url)
}

/// The result of one store call.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A live as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRow {
    pub live: Live,
    pub cover: String,
    /// Name of the stream at the media server: 20 of `[0-9a-zA-Z]`.
    pub key: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A catalogue item as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiftRow {
    pub gift: Gift,
    /// False: it is withdrawn, and stays in the catalogue for the gifts that were given.
    pub on_sale: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A list of terms of the word filter, as it was imported last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermListRow {
    /// In the form of [`export`](crate::domain::word_filter::export).
    pub lines: String,
    /// Grows with each change of this list.
    pub version: i64,
    pub updated_at: Timestamp,
}

/// One thing a room asks to be made durable.
#[derive(Debug, Clone)]
pub enum Write {
    Comment(Arc<Comment>),
    /// A comment is not shown yet, once per `request_id`.
    Hold(Arc<HeldComment>),
    Gift(Arc<GiftOrder>),
    /// A gift of somebody who may not give now: the receipt of the same gift if that was committed
    /// before, else [`GiftRefusal::Barred`] (`otherwise`). Nothing is written.
    FindGift {
        order: Arc<GiftOrder>,
        otherwise: Reject,
    },
    /// This user was seen in this live; counted once, ever.
    View {
        live_id: LiveId,
        user_id: UserId,
    },
    /// A comment was removed at its place: it is taken down, after the write of the comment itself.
    TakeDown {
        comment_id: CommentId,
        at: Timestamp,
    },
}

/// The outcome of one [`Write`], in the order of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    Comment(Result<(), CommentWriteError>),
    /// The comment that is held: another one if its `request_id` was that of one before.
    Held(Result<CommentId, HoldRefusal>),
    Gift(Result<GiftReceipt, GiftRefusal>),
    /// The live's look_count after it; `None` if it had been counted before or the live is gone.
    View(Option<i64>),
    /// Whether or not there was such a comment.
    TakenDown,
}

/// Totals of one live's gifts as the books have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveLedger {
    pub gifts_count: i64,
    pub coins: Coins,
}

/// The part of a live's row that rooms hold in memory and that may change behind their back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveState {
    pub id: LiveId,
    pub status: LiveStatus,
    pub title: String,
    /// The number of the last change of a standing that concerns it.
    pub moderation_version: u64,
    /// The number of the last change of its modes.
    pub modes_version: u64,
}

/// Held comments that nobody decided in time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueHeldComments {
    /// In the order in which they were due.
    pub ids: Vec<(LiveId, CommentId)>,
    /// When the next one is due.
    pub next_at: Option<Timestamp>,
}

/// A held comment that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueComment {
    pub id: CommentId,
    /// The key that it gets in the history if it is shown.
    pub key: CommentId,
}

/// What a held comment adds to the log of its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEntry {
    pub live_id: LiveId,
    pub entry: ActionEntry,
    pub logged: LoggedHeldEntry,
}

impl HeldEntry {
    /// Says that a comment is held.
    pub fn of_held(held: Arc<HeldComment>) -> Self {
        Self {
            live_id: held.comment.live_id,
            logged: LoggedHeldEntry {
                comment_id: held.comment.id,
                is_decision: false,
            },
            entry: ActionEntry::of_held(held),
        }
    }

    /// Says what was decided about a comment of a live.
    pub fn of_decision(live_id: LiveId, decision: &HeldDecision) -> Self {
        Self {
            live_id,
            logged: LoggedHeldEntry {
                comment_id: decision.comment_id(),
                is_decision: true,
            },
            entry: ActionEntry::of_decision(decision),
        }
    }
}

/// Names an entry of a held comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedHeldEntry {
    pub comment_id: CommentId,
    /// It says what was decided; otherwise that the comment is held.
    pub is_decision: bool,
}

/// Rows that last. Both implementations pass `tests/store/contract`.
///
/// Every method is one transaction. A returned future runs to its end even if the caller stops
/// waiting for it.
pub trait Store: ApiTokenStore + ManagerStore + Send + Sync {
    /// Adds an account; `None` if the username is taken, or one that looks like it. The database
    /// decides between registrations at the same time.
    fn create_user(
        &self,
        username: String,
        nickname: Option<String>,
        password_hash: String,
        at: Timestamp,
    ) -> Stored<'_, Option<User>>;
    fn user(&self, id: UserId) -> Stored<'_, Option<User>>;
    /// The account with this username, as it is written or else in its canonical form.
    fn credentials(&self, username: String) -> Stored<'_, Option<Credentials>>;
    fn change_profile(
        &self,
        user: UserId,
        change: ProfileChange,
        at: Timestamp,
    ) -> Stored<'_, ProfileOutcome>;
    /// Replaces the hash of a password. False: it is not `expected` any more.
    fn change_password(
        &self,
        user: UserId,
        expected: String,
        new: String,
        at: Timestamp,
    ) -> Stored<'_, bool>;
    /// Up to `max` accounts whose username begins with this text in any case, by name, behind the
    /// account `after`.
    fn users_by_name(
        &self,
        beginning: String,
        after: Option<UserId>,
        max: u32,
    ) -> Stored<'_, Vec<User>>;
    /// Those of these accounts that are disabled, in no order. Ask for a few hundred at most.
    fn disabled_users(&self, among: Vec<UserId>) -> Stored<'_, Vec<UserId>>;

    /// Makes `token_digest` the user's only current token; `None` leaves it without one.
    fn set_token(
        &self,
        user: UserId,
        token_digest: Option<String>,
        at: Timestamp,
    ) -> Stored<'_, ()>;
    /// The user's current token, or since when it has none; `None` if it never had one.
    fn token(&self, user: UserId) -> Stored<'_, Option<StoredToken>>;
    /// Removes what is kept of the user's token if it is still `expected`, as if the user had never
    /// had one. False: something else was kept, and still is.
    fn remove_token(&self, user: UserId, expected: StoredToken) -> Stored<'_, bool>;
    /// Users whose current token changed at `since` or later, logouts included; the latest 10,000
    /// of them.
    fn tokens_since(&self, since: Timestamp) -> Stored<'_, Vec<UserId>>;

    /// Which tokens, accounts and lives changed after a position, whoever changed them, and the
    /// position of now; without one, only that. `None`: this store has no feed, because all changes
    /// are made here.
    fn changes(&self, since: Option<FeedPosition>) -> Stored<'_, Option<FeedPage>>;
    /// Removes changes that are older than [`CHANGES_KEPT`].
    fn remove_old_changes(&self) -> Stored<'_, ()>;

    /// Gives the node `holder` a number from 0 to 1,023: the one that was unseen for the longest
    /// time. `None`: this store serves one node.
    fn take_node_number(&self, holder: String) -> Stored<'_, Option<i64>>;
    /// Says that the number is in use. False: another node has taken it meanwhile.
    fn keep_node_number(&self, number: i64, holder: String) -> Stored<'_, bool>;

    /// When this user last logged in from this network, if that is remembered.
    fn last_login_from(&self, user: UserId, network: String) -> Stored<'_, Option<Timestamp>>;
    /// Remembers a login; of each user the newest [`LOGIN_NETWORKS_MAX`] networks.
    fn remember_login(&self, user: UserId, network: String, at: Timestamp) -> Stored<'_, ()>;

    fn create_live(
        &self,
        owner: UserId,
        title: String,
        cover: String,
        key: String,
        at: Timestamp,
    ) -> Stored<'_, LiveRow>;
    /// How many lives of this user have not ended.
    fn not_ended_lives_count(&self, owner: UserId) -> Stored<'_, i64>;
    fn live(&self, id: LiveId) -> Stored<'_, Option<LiveRow>>;
    /// The state of these lives that rooms hold, in no order. Unknown lives, and those whose status
    /// is none of ours, are left out. Ask for a few hundred at most.
    fn live_states(&self, ids: Vec<LiveId>) -> Stored<'_, Vec<LiveState>>;
    /// Page `page` (from 1) of `per_page` lives in id order.
    fn lives(&self, page: u32, per_page: u32) -> Stored<'_, Vec<LiveRow>>;

    /// The whole catalogue in id order.
    fn gifts(&self) -> Stored<'_, Vec<GiftRow>>;
    fn create_gift(
        &self,
        name: String,
        image: String,
        price: Coins,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, GiftRow>;

    /// Comments of a live that carry a `request_id` and are not older than `since`, oldest first,
    /// the newest `max` of them. Removed ones too.
    fn recent_comments(
        &self,
        live_id: LiveId,
        since: Timestamp,
        max: u32,
    ) -> Stored<'_, Vec<Comment>>;

    /// The newest `max` comments of a live, newest first, of those shown before the comment
    /// `before`, whether that one is removed or not. Removed ones are left out.
    fn comments(
        &self,
        live_id: LiveId,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, Vec<Comment>>;
    /// As [`Store::comments`], with `removed` those that were taken down among them, and who took
    /// them down.
    fn comments_with_removed(
        &self,
        live_id: LiveId,
        before: Option<CommentId>,
        removed: bool,
        max: u32,
    ) -> Stored<'_, Vec<ShownComment>>;
    /// Up to `max` comments of a range, without who removed them.
    fn comment_range(&self, range: CommentRange, max: u32) -> Stored<'_, Vec<ShownComment>>;
    /// Up to `max` comments of a user posted before this one, newest first, removed ones too, out of
    /// the newest [`COMMENTS_LOOKED_AT_MAX`] of the site.
    fn comments_of_user(
        &self,
        user: UserId,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, UserComments>;
    /// The highest id of all comments, of whatever live, held, removed or not, or the highest key under
    /// which one was shown later: the next id must come after both.
    fn newest_comment(&self) -> Stored<'_, Option<CommentId>>;

    /// The store's own time; `None`: its clock is that of the one node that uses it.
    fn time(&self) -> Stored<'_, Option<Timestamp>>;

    /// Comments of a live that wait for review, oldest first, at most `max`.
    fn held_comments(&self, live_id: LiveId, max: u32) -> Stored<'_, Vec<HeldComment>>;
    /// Comments of all lives that wait for review: the first `max` to be due.
    fn held_comments_anywhere(&self, max: u32) -> Stored<'_, Vec<HeldComment>>;
    /// Comments of a live that were held at `since` or later and carry a `request_id`, whatever
    /// became of them: the newest `max`, oldest first.
    fn recent_held_comments(
        &self,
        live_id: LiveId,
        since: Timestamp,
        max: u32,
    ) -> Stored<'_, Vec<HeldComment>>;
    /// Held comments that nobody decided in time, without these: the first `max`, and when the next
    /// one is due.
    fn due_held_comments(
        &self,
        now: Timestamp,
        max: u32,
        except: Vec<CommentId>,
    ) -> Stored<'_, DueHeldComments>;
    /// Decides held comments of a live that are due, those that still wait and that nobody else
    /// decides at this moment, all or none. Returns what that adds to its log: nothing for a comment
    /// whose author is gone or shadowed, which is denied without a notice.
    fn decide_held_comments(
        &self,
        live_id: LiveId,
        due: Vec<DueComment>,
        at: Timestamp,
    ) -> Stored<'_, Vec<HeldEntry>>;
    /// What is not known to be in logs of held comments that were posted and decided at `until` or
    /// before: those with the lowest ids above `after`, at most `max`.
    fn unlogged_held_comments(
        &self,
        after: Option<CommentId>,
        until: Timestamp,
        max: u32,
    ) -> Stored<'_, Vec<HeldEntry>>;
    /// Notes that logs have these entries, or that they need not have them any more.
    fn held_comments_logged(&self, entries: Vec<LoggedHeldEntry>) -> Stored<'_, ()>;
    /// Removes what is known of held comments that were decided before `before`, of at most `max`.
    /// Returns of how many: fewer than `max` are all.
    fn remove_decided_held_comments(&self, before: Timestamp, max: u32) -> Stored<'_, usize>;

    /// Those of these comments that are taken down, in no order. Ask for a few hundred at most.
    fn removed_comments(&self, among: Vec<CommentId>) -> Stored<'_, Vec<CommentId>>;
    /// The author of a comment of this live, held or not, and when it was posted.
    fn comment_author(
        &self,
        live_id: LiveId,
        id: CommentId,
    ) -> Stored<'_, Option<(UserId, Timestamp)>>;
    /// The standings of all users who are not like everybody else in a live; `None` if it is
    /// unknown.
    fn standings(&self, live_id: LiveId, now: Timestamp) -> Stored<'_, Option<Standings>>;
    /// The streamer of a live and what each of `users` is in it; `None` if it is unknown.
    fn roles(&self, live_id: LiveId, users: Vec<UserId>)
    -> Stored<'_, Option<(UserId, Vec<Role>)>>;
    /// What holds against a user on the whole site.
    fn site_sanctions(&self, user: UserId, now: Timestamp) -> Stored<'_, Vec<Sanction>>;
    /// What holds in a live against all users or one, but for sanctions of the site: the newest
    /// `max` that were given before the sanction `before`, newest first.
    fn sanctions(
        &self,
        live_id: LiveId,
        of: Option<UserId>,
        before: Option<SanctionId>,
        max: u32,
        now: Timestamp,
    ) -> Stored<'_, Vec<(UserId, Sanction)>>;
    /// Sanctions that hold against a user in a live, with a streamer or on the site, newest first.
    fn sanctions_of_user(
        &self,
        user: UserId,
        before: Option<SanctionId>,
        max: u32,
        now: Timestamp,
    ) -> Stored<'_, Vec<UserSanction>>;
    /// What is pinned in a live, and by which action; `None` if nothing ever was.
    fn pin(&self, live_id: LiveId) -> Stored<'_, Option<Pin>>;
    /// What a room reads again that missed entries of its log, with the users who were removed from
    /// it since then. Of these it looks at the newest 10,000 actions on the site, and no further.
    fn missed_entries(&self, live_id: LiveId, kicks_since: Timestamp) -> Stored<'_, MissedEntries>;
    /// The modes of a live: its own, or else those of its streamer; `None` if it is unknown.
    fn modes(&self, live_id: LiveId) -> Stored<'_, Option<LiveModes>>;
    /// The queue of reported comments of a live: the newest `max` that are older than the comment
    /// `before`, the newest first.
    fn reported_comments(
        &self,
        live_id: LiveId,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, Vec<ReportedRow>>;
    /// The same over the queues of all lives.
    fn reported_comments_anywhere(
        &self,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, Vec<ReportedRow>>;
    /// What modes ask about these users in a live, in no order; those of whom there is nothing to
    /// say are left out. Ask for a few hundred at most.
    fn user_facts(
        &self,
        live_id: LiveId,
        users: Vec<UserId>,
    ) -> Stored<'_, Vec<(UserId, UserFacts)>>;
    /// The terms of this streamer, or else of the site; `None` if there never were any.
    fn term_list(&self, streamer: Option<UserId>) -> Stored<'_, Option<TermListRow>>;
    /// The versions of these lists, in no order; those that there never were are left out. Ask for
    /// a few hundred at most.
    fn term_list_versions(
        &self,
        streamers: Vec<Option<UserId>>,
    ) -> Stored<'_, Vec<(Option<UserId>, i64)>>;

    /// Has `follower` follow `streamer` from `at` on, or since it does, as one of `max` whom it
    /// follows at most. Calls of one moment do not see each other: a user may exceed the maximum by
    /// as many.
    fn follow(
        &self,
        follower: UserId,
        streamer: UserId,
        max: u32,
        at: Timestamp,
    ) -> Stored<'_, FollowOutcome>;
    /// False: it did not follow.
    fn unfollow(&self, follower: UserId, streamer: UserId) -> Stored<'_, bool>;
    /// Those of `users` who follow `streamer`, and since when, in no order. Ask for a few hundred at
    /// most.
    fn follows_since(
        &self,
        streamer: UserId,
        users: Vec<UserId>,
    ) -> Stored<'_, Vec<(UserId, Timestamp)>>;
    /// Whom `follower` follows, the newest first: at most `max`, of those after `before` in this
    /// order.
    fn follows(
        &self,
        follower: UserId,
        before: Option<(Timestamp, UserId)>,
        max: u32,
    ) -> Stored<'_, Vec<FollowedStreamer>>;
    /// How many follow `streamer`: one row, however many they are.
    fn followers_count(&self, streamer: UserId) -> Stored<'_, i64>;

    /// Makes the change of an action, if it makes one, and adds its row to the audit; once per
    /// `request_id`. It does not ask who may do it.
    fn perform(&self, record: ActionRecord) -> Stored<'_, Performed>;
    /// Adds a row to the audit for an attempt that was refused; `code`: the word for why.
    fn record_refusal(&self, record: ActionRecord, code: &'static str) -> Stored<'_, ActionId>;
    /// Actions done at `until` or before whose entry is not known to be in the log of its room, the
    /// oldest `max`. An entry about the status of a live says what that is now.
    fn pending_actions(&self, until: Timestamp, max: u32) -> Stored<'_, Vec<PendingAction>>;
    /// The logs of their rooms have the entries of these actions.
    fn actions_logged(&self, ids: Vec<ActionId>) -> Stored<'_, ()>;

    /// Makes a batch durable in one transaction and answers each write, in order. Writes take
    /// effect as if done one after the other. Left out are writes that need a row which another
    /// transaction locks for longer than a commit takes, and those after them in their sequence:
    /// they are [`Attempt::Blocked`]. `Err` means that nothing of the batch is known to be durable;
    /// committing it again is safe, since gifts are idempotent by `request_id`, comments by id and
    /// views by user.
    fn commit_skip_locked(&self, batch: Vec<Write>) -> Stored<'_, Vec<Attempt>>;
    /// Whether several commits can be under way at once. If so, a locked row does not make others
    /// wait.
    fn supports_concurrent_commits(&self) -> bool;

    /// Grants or takes coins, once per `request_id`. It and each refusal is a row of the audit.
    fn grant(&self, grant: CoinGrant) -> Stored<'_, GrantOutcome>;
    fn live_ledger(&self, live_id: LiveId) -> Stored<'_, LiveLedger>;
    /// Up to `max` entries of an account with ids between these two, both exclusive: the newest
    /// first, or the oldest.
    fn account_entries(
        &self,
        account: BookAccount,
        between: (i64, i64),
        newest_first: bool,
        max: u32,
    ) -> Stored<'_, Vec<AccountEntry>>;
    /// Those who gave most in a live, who gave most first.
    fn givers(&self, live_id: LiveId, max: u32) -> Stored<'_, Vec<Giver>>;
    /// Recomputes the books from their entries.
    fn audit(&self) -> Stored<'_, AuditReport>;

    /// Adds rows of what changed nothing, such as failed logins, to the audit: all or none.
    fn add_audit_rows(&self, rows: Vec<AuditRow>) -> Stored<'_, ()>;
    /// Up to `max` rows of the audit before a position, the newest first. A page that looked through
    /// [`AUDIT_SCANNED_MAX`] rows ends there, whatever it found.
    fn audit_page(
        &self,
        filter: AuditFilter,
        before: Option<AuditPosition>,
        max: u32,
    ) -> Stored<'_, AuditPage>;
    /// Seals rows of the audit that are older than every running transaction, as many as one seal
    /// takes; of several nodes at once one does. `horizon`: of the step before. To be called again
    /// and again: of PostgreSQL every second step seals.
    fn seal_audit(&self, horizon: Option<SealHorizon>, at: Timestamp) -> Stored<'_, SealStep>;
    /// A seal by its number, or the newest one.
    fn audit_seal(&self, id: Option<i64>) -> Stored<'_, Option<SealHead>>;
    /// Recomputes the chain of seals and compares it with the rows of the audit.
    fn check_audit_chain(&self) -> Stored<'_, ChainReport>;

    /// Succeeds when a transaction became durable now. It writes, though nothing new: a full disk
    /// still reads and still begins transactions.
    fn ping(&self) -> Stored<'_, ()>;
}
