//! Every query that both databases understand, written once.
//!
//! `sqlite.rs` and `postgres.rs` each include this module. The parent says on what it runs:
//! `Backend` (the store), `Conn` (its connection), and what the dialects do not share:
//! `lock_user_coin`, `lock_live_status`, `lock_user_status`, `lock_gift`, `lock_waiting`,
//! `insert_shown`, `time`, `commit_batch_skip_locked`, `NAME_ORDER`, `WRITE_NOTHING_NEW` and
//! `CONCURRENT_COMMITS`. The methods of the store are one line each: which access, which query.

mod accounts;
mod action_columns;
mod actions;
mod api_tokens;
mod audit;
pub(super) mod audit_chain;
mod audit_log;
mod audit_rows;
mod books_pages;
mod catalogue;
mod comment_pages;
mod comments;
mod follows;
mod grants;
mod held_comments;
mod left_behind;
mod lives;
mod managers;
mod missed;
mod modes;
mod pins;
mod reports;
mod standing_changes;
mod standings;
mod take_downs;
mod term_lists;

use diesel_async::RunQueryDsl;
use futures_util::FutureExt;

use super::{Backend, CONCURRENT_COMMITS, Conn, WRITE_NOTHING_NEW, time};
use crate::domain::{
    ActionId, Coins, Comment, CommentId, HeldComment, LiveId, LiveModes, MissedEntries, Pin, Role,
    Sanction, SanctionId, Standings, Timestamp, UserFacts, UserId,
};
use crate::storage::{
    AccountEntry, ActAuthor, ActionRecord, Attempt, AuditFilter, AuditPage, AuditPosition,
    AuditReport, AuditRow, BookAccount, ChainReport, CoinGrant, CommentRange, Credentials,
    DueComment, DueHeldComments, FeedPage, FeedPosition, FollowOutcome, FollowedStreamer, GiftRow,
    Giver, GrantOutcome, HeldEntry, LiveLedger, LiveRow, LiveState, LoggedHeldEntry, PendingAction,
    Performed, ProfileChange, ProfileOutcome, ReportedRow, SealHead, SealHorizon, SealStep,
    ShownComment, Store, StoreError, Stored, StoredToken, TermListRow, User, UserComments,
    UserSanction, Write,
};

/// How often a transaction that fills skeletons in is tried. A registration may take one of its
/// skeletons meanwhile; the next try sees it.
const FILL_TRIES: u32 = 3;

impl Backend {
    /// Fills in the skeletons of accounts that have none: those from before there were any, and
    /// those that an older node or another program has written.
    pub(super) async fn fill_skeletons(&self) -> Result<(), StoreError> {
        let (mut after, mut tries) = (0, 0);
        loop {
            match self
                .write(move |conn| accounts::fill_skeletons(conn, after).boxed())
                .await
            {
                Ok(Some(last)) => (after, tries) = (last, 0),
                Ok(None) => return Ok(()),
                Err(_) if tries + 1 < FILL_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Store for Backend {
    fn create_user(
        &self,
        username: String,
        nickname: Option<String>,
        password_hash: String,
        at: Timestamp,
    ) -> Stored<'_, Option<User>> {
        self.write(move |conn| {
            accounts::create(conn, username, nickname, password_hash, at).boxed()
        })
    }

    fn user(&self, id: UserId) -> Stored<'_, Option<User>> {
        self.read(move |conn| accounts::by_id(conn, id).boxed())
    }

    fn credentials(&self, username: String) -> Stored<'_, Option<Credentials>> {
        self.read(move |conn| accounts::credentials(conn, username).boxed())
    }

    fn change_profile(
        &self,
        user: UserId,
        change: ProfileChange,
        at: Timestamp,
    ) -> Stored<'_, ProfileOutcome> {
        self.write(move |conn| accounts::change_profile(conn, user, change, at).boxed())
    }

    fn change_password(
        &self,
        user: UserId,
        expected: String,
        new: String,
        at: Timestamp,
    ) -> Stored<'_, bool> {
        self.write(move |conn| accounts::change_password(conn, user, expected, new, at).boxed())
    }

    fn users_by_name(
        &self,
        beginning: String,
        after: Option<UserId>,
        max: u32,
    ) -> Stored<'_, Vec<User>> {
        self.read(move |conn| accounts::by_name(conn, beginning, after, max).boxed())
    }

    fn disabled_users(&self, among: Vec<UserId>) -> Stored<'_, Vec<UserId>> {
        self.read(move |conn| accounts::disabled(conn, among).boxed())
    }

    fn set_token(
        &self,
        user: UserId,
        token_digest: Option<String>,
        at: Timestamp,
    ) -> Stored<'_, ()> {
        self.write(move |conn| accounts::set_token(conn, user, token_digest, at).boxed())
    }

    fn tokens_since(&self, since: Timestamp) -> Stored<'_, Vec<UserId>> {
        self.read(move |conn| accounts::tokens_since(conn, since).boxed())
    }

    fn remove_token(&self, user: UserId, expected: StoredToken) -> Stored<'_, bool> {
        self.write(move |conn| accounts::remove_token(conn, user, expected).boxed())
    }

    fn token(&self, user: UserId) -> Stored<'_, Option<StoredToken>> {
        self.read(move |conn| accounts::token(conn, user).boxed())
    }

    fn changes(&self, since: Option<FeedPosition>) -> Stored<'_, Option<FeedPage>> {
        self.read_changes(since)
    }

    fn remove_old_changes(&self) -> Stored<'_, ()> {
        self.delete_old_changes()
    }

    fn take_node_number(&self, holder: String) -> Stored<'_, Option<i64>> {
        self.take_number(holder)
    }

    fn keep_node_number(&self, number: i64, holder: String) -> Stored<'_, bool> {
        self.keep_number(number, holder)
    }

    fn last_login_from(&self, user: UserId, network: String) -> Stored<'_, Option<Timestamp>> {
        self.read(move |conn| accounts::last_login_from(conn, user, network).boxed())
    }

    fn remember_login(&self, user: UserId, network: String, at: Timestamp) -> Stored<'_, ()> {
        self.write(move |conn| accounts::remember_login(conn, user, network, at).boxed())
    }

    fn create_live(
        &self,
        owner: UserId,
        title: String,
        cover: String,
        key: String,
        at: Timestamp,
    ) -> Stored<'_, LiveRow> {
        self.write(move |conn| lives::create(conn, owner, title, cover, key, at).boxed())
    }

    fn not_ended_lives_count(&self, owner: UserId) -> Stored<'_, i64> {
        self.read(move |conn| lives::not_ended_count(conn, owner).boxed())
    }

    fn live(&self, id: LiveId) -> Stored<'_, Option<LiveRow>> {
        self.read(move |conn| lives::by_id(conn, id).boxed())
    }

    fn live_states(&self, ids: Vec<LiveId>) -> Stored<'_, Vec<LiveState>> {
        self.read(move |conn| lives::states(conn, ids).boxed())
    }

    fn lives(&self, page: u32, per_page: u32) -> Stored<'_, Vec<LiveRow>> {
        self.read(move |conn| lives::page(conn, page, per_page).boxed())
    }

    fn gifts(&self) -> Stored<'_, Vec<GiftRow>> {
        self.read(move |conn| catalogue::all(conn).boxed())
    }

    fn create_gift(
        &self,
        name: String,
        image: String,
        price: Coins,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, GiftRow> {
        self.write(move |conn| catalogue::create(conn, name, image, price, at, by).boxed())
    }

    fn recent_comments(
        &self,
        live_id: LiveId,
        since: Timestamp,
        max: u32,
    ) -> Stored<'_, Vec<Comment>> {
        self.read(move |conn| comments::recent(conn, live_id, since, max).boxed())
    }

    fn comments(
        &self,
        live_id: LiveId,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, Vec<Comment>> {
        self.read(move |conn| comments::page(conn, live_id, before, max).boxed())
    }

    fn comments_with_removed(
        &self,
        live_id: LiveId,
        before: Option<CommentId>,
        removed: bool,
        max: u32,
    ) -> Stored<'_, Vec<ShownComment>> {
        self.read(move |conn| {
            comment_pages::with_removed(conn, live_id, before, removed, max).boxed()
        })
    }

    fn comment_range(&self, range: CommentRange, max: u32) -> Stored<'_, Vec<ShownComment>> {
        self.read(move |conn| comment_pages::range(conn, range, max).boxed())
    }

    fn comments_of_user(
        &self,
        user: UserId,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, UserComments> {
        self.read(move |conn| comment_pages::of_user(conn, user, before, max).boxed())
    }

    fn newest_comment(&self) -> Stored<'_, Option<CommentId>> {
        self.read(move |conn| comments::newest(conn).boxed())
    }

    fn time(&self) -> Stored<'_, Option<Timestamp>> {
        self.read(move |conn| time(conn).boxed())
    }

    fn held_comments(&self, live_id: LiveId, max: u32) -> Stored<'_, Vec<HeldComment>> {
        self.read(move |conn| held_comments::for_review(conn, live_id, max).boxed())
    }

    fn held_comments_anywhere(&self, max: u32) -> Stored<'_, Vec<HeldComment>> {
        self.read(move |conn| held_comments::for_review_anywhere(conn, max).boxed())
    }

    fn recent_held_comments(
        &self,
        live_id: LiveId,
        since: Timestamp,
        max: u32,
    ) -> Stored<'_, Vec<HeldComment>> {
        self.read(move |conn| held_comments::recent(conn, live_id, since, max).boxed())
    }

    fn due_held_comments(
        &self,
        now: Timestamp,
        max: u32,
        except: Vec<CommentId>,
    ) -> Stored<'_, DueHeldComments> {
        self.read(move |conn| held_comments::due(conn, now, max, except).boxed())
    }

    fn decide_held_comments(
        &self,
        live_id: LiveId,
        due: Vec<DueComment>,
        at: Timestamp,
    ) -> Stored<'_, Vec<HeldEntry>> {
        self.write(move |conn| held_comments::decide_due(conn, live_id, due, at).boxed())
    }

    fn unlogged_held_comments(
        &self,
        after: Option<CommentId>,
        until: Timestamp,
        max: u32,
    ) -> Stored<'_, Vec<HeldEntry>> {
        self.read(move |conn| held_comments::unlogged(conn, after, until, max).boxed())
    }

    fn held_comments_logged(&self, entries: Vec<LoggedHeldEntry>) -> Stored<'_, ()> {
        self.write(move |conn| held_comments::logged(conn, entries).boxed())
    }

    fn remove_decided_held_comments(&self, before: Timestamp, max: u32) -> Stored<'_, usize> {
        self.write(move |conn| held_comments::remove_decided(conn, before, max).boxed())
    }

    fn removed_comments(&self, among: Vec<CommentId>) -> Stored<'_, Vec<CommentId>> {
        self.read(move |conn| comments::removed(conn, among).boxed())
    }

    fn comment_author(
        &self,
        live_id: LiveId,
        id: CommentId,
    ) -> Stored<'_, Option<(UserId, Timestamp)>> {
        self.read(move |conn| {
            async move {
                match comments::author(conn, live_id, id).await? {
                    None => held_comments::author(conn, live_id, id).await,
                    found => Ok(found),
                }
            }
            .boxed()
        })
    }

    fn standings(&self, live_id: LiveId, now: Timestamp) -> Stored<'_, Option<Standings>> {
        self.read(move |conn| standings::of_live(conn, live_id, now).boxed())
    }

    fn roles(
        &self,
        live_id: LiveId,
        users: Vec<UserId>,
    ) -> Stored<'_, Option<(UserId, Vec<Role>)>> {
        self.read(move |conn| standing_changes::roles(conn, live_id, users).boxed())
    }

    fn site_sanctions(&self, user: UserId, now: Timestamp) -> Stored<'_, Vec<Sanction>> {
        self.read(move |conn| standings::of_site(conn, user, now).boxed())
    }

    fn sanctions(
        &self,
        live_id: LiveId,
        of: Option<UserId>,
        before: Option<SanctionId>,
        max: u32,
        now: Timestamp,
    ) -> Stored<'_, Vec<(UserId, Sanction)>> {
        self.read(move |conn| standings::page(conn, live_id, of, before, max, now).boxed())
    }

    fn missed_entries(&self, live_id: LiveId, kicks_since: Timestamp) -> Stored<'_, MissedEntries> {
        self.read(move |conn| missed::read(conn, live_id, kicks_since).boxed())
    }

    fn sanctions_of_user(
        &self,
        user: UserId,
        before: Option<SanctionId>,
        max: u32,
        now: Timestamp,
    ) -> Stored<'_, Vec<UserSanction>> {
        self.read(move |conn| standings::page_of_user(conn, user, before, max, now).boxed())
    }

    fn pin(&self, live_id: LiveId) -> Stored<'_, Option<Pin>> {
        self.read(move |conn| pins::of_live(conn, live_id).boxed())
    }

    fn modes(&self, live_id: LiveId) -> Stored<'_, Option<LiveModes>> {
        self.read(move |conn| modes::of_live(conn, live_id).boxed())
    }

    fn reported_comments(
        &self,
        live_id: LiveId,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, Vec<ReportedRow>> {
        self.read(move |conn| reports::page(conn, live_id, before, max).boxed())
    }

    fn reported_comments_anywhere(
        &self,
        before: Option<CommentId>,
        max: u32,
    ) -> Stored<'_, Vec<ReportedRow>> {
        self.read(move |conn| reports::page_anywhere(conn, before, max).boxed())
    }

    fn user_facts(
        &self,
        live_id: LiveId,
        users: Vec<UserId>,
    ) -> Stored<'_, Vec<(UserId, UserFacts)>> {
        self.read(move |conn| modes::user_facts(conn, live_id, users).boxed())
    }

    fn term_list(&self, streamer: Option<UserId>) -> Stored<'_, Option<TermListRow>> {
        self.read(move |conn| term_lists::of(conn, streamer).boxed())
    }

    fn term_list_versions(
        &self,
        streamers: Vec<Option<UserId>>,
    ) -> Stored<'_, Vec<(Option<UserId>, i64)>> {
        self.read(move |conn| term_lists::versions(conn, streamers).boxed())
    }

    fn follow(
        &self,
        follower: UserId,
        streamer: UserId,
        max: u32,
        at: Timestamp,
    ) -> Stored<'_, FollowOutcome> {
        self.write(move |conn| follows::follow(conn, follower, streamer, max, at).boxed())
    }

    fn unfollow(&self, follower: UserId, streamer: UserId) -> Stored<'_, bool> {
        self.write(move |conn| follows::unfollow(conn, follower, streamer).boxed())
    }

    fn follows_since(
        &self,
        streamer: UserId,
        users: Vec<UserId>,
    ) -> Stored<'_, Vec<(UserId, Timestamp)>> {
        self.read(move |conn| follows::since_of(conn, streamer, users).boxed())
    }

    fn follows(
        &self,
        follower: UserId,
        before: Option<(Timestamp, UserId)>,
        max: u32,
    ) -> Stored<'_, Vec<FollowedStreamer>> {
        self.read(move |conn| follows::page(conn, follower, before, max).boxed())
    }

    fn followers_count(&self, streamer: UserId) -> Stored<'_, i64> {
        self.read(move |conn| follows::followers_count(conn, streamer).boxed())
    }

    fn perform(&self, record: ActionRecord) -> Stored<'_, Performed> {
        self.write(move |conn| actions::perform(conn, record).boxed())
    }

    fn record_refusal(&self, record: ActionRecord, code: &'static str) -> Stored<'_, ActionId> {
        self.write(move |conn| actions::record_refusal(conn, record, code).boxed())
    }

    fn pending_actions(&self, until: Timestamp, max: u32) -> Stored<'_, Vec<PendingAction>> {
        self.read(move |conn| actions::pending(conn, until, max).boxed())
    }

    fn actions_logged(&self, ids: Vec<ActionId>) -> Stored<'_, ()> {
        self.write(move |conn| actions::logged(conn, ids).boxed())
    }

    fn commit_skip_locked(&self, batch: Vec<Write>) -> Stored<'_, Vec<Attempt>> {
        self.commit_batch_skip_locked(batch)
    }

    fn supports_concurrent_commits(&self) -> bool {
        CONCURRENT_COMMITS
    }

    fn grant(&self, grant: CoinGrant) -> Stored<'_, GrantOutcome> {
        self.write(move |conn| grants::grant(conn, grant).boxed())
    }

    fn live_ledger(&self, live_id: LiveId) -> Stored<'_, LiveLedger> {
        self.read(move |conn| lives::ledger(conn, live_id).boxed())
    }

    fn account_entries(
        &self,
        account: BookAccount,
        between: (i64, i64),
        newest_first: bool,
        max: u32,
    ) -> Stored<'_, Vec<AccountEntry>> {
        self.read(move |conn| {
            books_pages::entries(conn, account, between, newest_first, max).boxed()
        })
    }

    fn givers(&self, live_id: LiveId, max: u32) -> Stored<'_, Vec<Giver>> {
        self.read(move |conn| books_pages::givers(conn, live_id, max).boxed())
    }

    fn audit(&self) -> Stored<'_, AuditReport> {
        self.snapshot(move |conn| audit::audit(conn).boxed())
    }

    fn add_audit_rows(&self, rows: Vec<AuditRow>) -> Stored<'_, ()> {
        self.write(move |conn| audit_rows::add_all(conn, rows).boxed())
    }

    fn audit_page(
        &self,
        filter: AuditFilter,
        before: Option<AuditPosition>,
        max: u32,
    ) -> Stored<'_, AuditPage> {
        self.read(move |conn| audit_log::page(conn, filter, before, max).boxed())
    }

    fn seal_audit(&self, horizon: Option<SealHorizon>, at: Timestamp) -> Stored<'_, SealStep> {
        self.seal(horizon, at)
    }

    fn audit_seal(&self, id: Option<i64>) -> Stored<'_, Option<SealHead>> {
        self.read(move |conn| audit_chain::head(conn, id).boxed())
    }

    fn check_audit_chain(&self) -> Stored<'_, ChainReport> {
        self.snapshot(move |conn| audit_chain::check(conn).boxed())
    }

    fn ping(&self) -> Stored<'_, ()> {
        self.write(move |conn| {
            async move {
                diesel::sql_query(WRITE_NOTHING_NEW).execute(conn).await?;
                Ok(())
            }
            .boxed()
        })
    }
}
