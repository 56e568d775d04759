//! The decisions of a room about comments, from the command to the answer.

use std::sync::Arc;

use super::Room;
use crate::domain::checks::{Account, Check, CheckResult, CommentContext};
use crate::domain::crowd::SamplingRound;
use crate::domain::dedupe::CommandKey;
use crate::domain::mode_state::{ModeState, TextKey};
use crate::domain::user_facts::WaitingComment;
use crate::domain::word_filter::FilterVerdict;
use crate::domain::{
    Bucket, Caller, CommandEnv, Comment, CommentFault, CommentId, CommentText, Effect, HeldComment,
    HoldRule, Offset, Reject, Reply, ReplyTo, RequestId, Role, SessionId, Timestamp, UserId,
};

/// Why the store did not keep a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentWriteError {
    /// Try again later.
    Busy,
    /// The row itself was refused (its author is gone, say): trying again is useless.
    Refused,
}

/// A comment that was accepted and whose sender waits for the end of the crowd's turn or for the
/// commit.
#[derive(Debug)]
pub(super) struct PendingComment<H> {
    author: UserId,
    /// Its text, if none may be repeated.
    text_key: Option<TextKey>,
    /// Where it was posted.
    session: SessionId,
    pub(super) waiters: Vec<ReplyTo<H>>,
    offset: Option<Offset>,
    stored: bool,
    pub(super) key: Option<CommandKey>,
    /// The text as it was sent, if members see another.
    sent: Option<CommentText>,
    /// The text that members see, if it was sent as another.
    shown: Option<CommentText>,
    /// If it is to be held.
    pub(super) held: Option<Arc<HeldComment>>,
}

/// How many retries of one pending comment are answered with it; a client has no use for more.
const WAITERS_MAX: usize = 8;
/// Rate limiters kept before those that are full again are thrown out.
const LIMITERS_BEFORE_SWEEP: usize = 1_024;

impl<H: Clone> Room<H> {
    /// Decides what a comment does. Storing precedes publishing because only storing can refuse,
    /// and after fan-out a refusal comes too late. The sender is answered when the comment has both
    /// its place ([`Room::ordered`]) and its commit ([`Room::comment_stored`]), or when it is
    /// sampled out, which a later step decides ([`Room::tick`]).
    pub(super) fn post_comment(
        &mut self,
        caller: Caller<H>,
        text: Result<CommentText, Reject>,
        request_id: Result<Option<RequestId>, Reject>,
        env: &mut impl CommandEnv<H>,
        now: Timestamp,
    ) -> Result<Vec<Effect<H>>, Reject> {
        let user = caller.profile.id;
        let member = self.author(&caller);
        let is_member = member.is_ok();
        self.forget_expired_commands(now);
        let account = Account {
            site_sanctions: &caller.site_sanctions,
            since: caller.account_since,
        };
        let mut context = self.comment_context(user, account, is_member, now);
        refused(context.decide(&Check::OF_USER))?;
        let author = member?;
        let key = request_id.clone().ok().flatten();
        let key = key.map(|request_id| (user, request_id));
        if let (Some(key), Ok(text)) = (&key, &text)
            && self.is_known(key)
        {
            self.count_posted(now);
            return self.answer_retry(key, text, &caller, env);
        }
        if context.lacks_facts() {
            return self.wait_for_facts(WaitingComment {
                caller,
                text,
                request_id,
            });
        }
        let decided = decide(&mut context, &self.modes, text, request_id, env);
        let (role, limiter) = (context.role, context.limiter);
        self.count_posted(now);
        self.set_limiter(user, limiter, now);
        let Accepted {
            text,
            request_id,
            filtered,
            text_key,
            verdict,
        } = decided?;
        // Who alone sees a comment sees it as it was sent.
        let shown = match verdict {
            CheckResult::Hidden => None,
            _ => text.masked(&filtered),
        };
        let (text, sent) = match shown.clone() {
            Some(shown) => (shown, Some(text)),
            None => (text, None),
        };
        let is_crowd = role == Role::Viewer;
        let id = env.next_comment_id(now);
        let (session, waiters) = (caller.session, vec![caller.to]);
        self.pending_comments.insert(
            id,
            PendingComment {
                author: user,
                text_key,
                session,
                waiters,
                offset: None,
                stored: false,
                key,
                sent,
                shown,
                held: None,
            },
        );
        let comment = Arc::new(Comment {
            id,
            live_id: self.live.id,
            author,
            text,
            request_id,
            at: now,
        });
        self.modes.comment_taken(user, id, now, now);
        if verdict != CheckResult::Hidden
            && let Some(key) = text_key
        {
            self.modes.text_taken(key, id, now, now);
        }
        match verdict {
            CheckResult::Hidden => {
                self.remember_sampled(&comment);
                return Ok(self.sample_out(&comment));
            }
            CheckResult::Held(rule) => {
                return Ok(vec![self.hold(HeldComment::for_review(comment, rule))]);
            }
            CheckResult::Passed | CheckResult::Refused(_) => {}
        }
        if !is_crowd {
            return Ok(vec![self.show(comment)]);
        }
        // Under load a room's timers are late; those who wait must not be later for it.
        let mut effects = self.end_crowd_turn_due(now);
        if self.crowd.pass(&comment) {
            effects.push(self.show_of_crowd(comment, now));
        } else {
            self.remember_sampled(&comment);
            for comment in self.crowd.wait(comment) {
                effects.extend(self.sample_out(&comment));
            }
        }
        Ok(effects)
    }

    /// Ends the turn of the comments that wait, when it is due, and announces how many of the
    /// crowd's comments members see.
    pub(super) fn tick_crowd(&mut self, now: Timestamp) -> Vec<Effect<H>> {
        let mut effects = self.end_crowd_turn_due(now);
        effects.extend(self.crowd.measure(now).map(Effect::AnnounceRate));
        effects
    }

    fn end_crowd_turn_due(&mut self, now: Timestamp) -> Vec<Effect<H>> {
        let round = self.crowd.end_round_if_due(now);
        self.decided(round, now)
    }

    /// Ends the crowd's turn at once: nothing waits after it.
    pub(super) fn end_crowd_turn(&mut self, now: Timestamp) -> Vec<Effect<H>> {
        let round = self.crowd.end_round(now);
        self.decided(round, now)
    }

    fn decided(&mut self, round: SamplingRound, now: Timestamp) -> Vec<Effect<H>> {
        let mut effects = Vec::with_capacity(round.shown.len());
        for comment in round.shown {
            match self.barred_meanwhile(&comment, now) {
                Some(reject) => effects.extend(self.refuse_pending(comment.id, reject)),
                None => effects.push(self.show_of_crowd(comment, now)),
            }
        }
        for comment in round.sampled_out {
            effects.extend(self.sample_out(&comment));
        }
        effects
    }

    /// Remembers a comment that is not shown, or not yet.
    fn remember_sampled(&mut self, comment: &Comment) {
        if let Some(key) = command_key(comment) {
            let text = self.sent_text(comment);
            self.sampled_comments
                .record(key, comment.id, text, comment.at);
        }
    }

    /// The text of a comment that was not answered yet as it was sent: a retry has the same.
    pub(super) fn sent_text(&self, comment: &Comment) -> CommentText {
        let pending = self.pending_comments.get(&comment.id);
        let sent = pending.and_then(|pending| pending.sent.clone());
        sent.unwrap_or_else(|| comment.text.clone())
    }

    fn show(&mut self, comment: Arc<Comment>) -> Effect<H> {
        if let Some(key) = command_key(&comment) {
            self.sampled_comments.forget(&key, comment.id);
            let text = self.sent_text(&comment);
            self.posted_comments
                .record(key, comment.id, text, comment.at);
        }
        Effect::PostComment(comment)
    }

    /// Shows a viewer's comment that has had its turn; to moderators first, in a room that has them
    /// see it first.
    fn show_of_crowd(&mut self, comment: Arc<Comment>, now: Timestamp) -> Effect<H> {
        match self.modes().mod_delay_s {
            0 => self.show(comment),
            seconds => self.hold(HeldComment {
                due: now.plus_ms(i64::from(seconds) * 1_000),
                rule: HoldRule::Delay,
                comment,
            }),
        }
    }

    /// Shows the comment to its sender alone: to the session that posted it, if that is still a
    /// member. All requests for it are answered.
    fn sample_out(&mut self, comment: &Arc<Comment>) -> Vec<Effect<H>> {
        let Some(pending) = self.pending_comments.remove(&comment.id) else {
            return Vec::new();
        };
        if let Some(key) = pending.text_key {
            self.modes.text_released(key, comment.id);
        }
        let member = self
            .members
            .get(pending.session)
            .filter(|member| member.user == comment.author.id);
        let echo = member.map(|member| Effect::Echo {
            handle: member.handle.clone(),
            comment: comment.clone(),
        });
        let reply = Reply::SampledOut {
            comment_id: comment.id,
        };
        let answers = pending.waiters.into_iter().map(|to| Effect::Reply {
            to,
            result: Ok(reply.clone()),
        });
        echo.into_iter().chain(answers).collect()
    }

    fn count_posted(&mut self, now: Timestamp) {
        self.comments_rate.count(now);
        self.counts.comments_in += 1;
    }

    fn forget_expired_commands(&mut self, now: Timestamp) {
        for memory in [&mut self.posted_comments, &mut self.sampled_comments] {
            memory.forget_expired(now, |id| self.pending_comments.contains_key(&id));
        }
        self.held_requests
            .forget_expired(now, |id| self.pending_comments.contains_key(&id));
    }

    /// Whether a command was seen before.
    fn is_known(&self, key: &CommandKey) -> bool {
        let memories = [&self.posted_comments, &self.sampled_comments];
        self.held_requests.get(key).is_some()
            || memories.iter().any(|memory| memory.get(key).is_some())
    }

    /// The answer to a command that was seen before.
    fn answer_retry(
        &mut self,
        key: &CommandKey,
        text: &CommentText,
        caller: &Caller<H>,
        env: &impl CommandEnv<H>,
    ) -> Result<Vec<Effect<H>>, Reject> {
        let (known, is_shown) = match (
            self.posted_comments.get(key),
            self.sampled_comments.get(key),
            self.held_requests.get(key),
        ) {
            (Some(known), ..) => (Ok(known), true),
            (None, Some(known), _) => (Ok(known), false),
            (None, None, Some(held)) => (Err(held), false),
            (None, None, None) => return Ok(Vec::new()),
        };
        let (comment_id, known_text) = match known {
            Ok(known) => (known.comment_id, &known.text),
            Err(held) => (held.comment_id, &held.text),
        };
        let shown = text.masked(&env.check_text(text.as_str()));
        // Of a comment that came from another node, or from the store, the room knows the text that
        // members see.
        if known_text != text && Some(known_text) != shown.as_ref() {
            return Err(Reject::DuplicateConflict);
        }
        if let Some(pending) = self.pending_comments.get_mut(&comment_id) {
            if pending.waiters.len() == WAITERS_MAX {
                return Err(Reject::BUSY);
            }
            pending.waiters.push(caller.to.clone());
            return Ok(Vec::new());
        }
        let answered = |reply| {
            let (to, result) = (caller.to.clone(), Ok(reply));
            Ok(vec![Effect::Reply { to, result }])
        };
        let known = match known {
            Ok(known) => known,
            Err(held) => {
                return answered(Reply::Held {
                    comment_id,
                    delay_ms: held.delay_ms,
                });
            }
        };
        if let Some(comment) = known.unstored.clone() {
            let pending = PendingComment {
                author: caller.profile.id,
                text_key: None,
                session: caller.session,
                waiters: vec![caller.to.clone()],
                offset: known.offset,
                stored: false,
                key: Some(key.clone()),
                sent: None,
                shown,
                held: None,
            };
            self.pending_comments.insert(comment.id, pending);
            return Ok(vec![Effect::StoreComment(comment)]);
        }
        answered(if is_shown {
            Reply::Commented {
                comment_id,
                offset: known.offset,
                shown,
            }
        } else {
            Reply::SampledOut { comment_id }
        })
    }

    /// The store answered for a comment.
    pub fn comment_stored(
        &mut self,
        id: CommentId,
        result: Result<(), CommentWriteError>,
    ) -> Vec<Effect<H>> {
        match result {
            Ok(()) => {
                if let Some(pending) = self.pending_comments.get_mut(&id) {
                    pending.stored = true;
                }
                self.answer_comment(id)
            }
            Err(error) => self.refuse_pending(
                id,
                match error {
                    CommentWriteError::Busy => Reject::BUSY,
                    CommentWriteError::Refused => Reject::CommentRefused {
                        fault: CommentFault::NotStored,
                    },
                },
            ),
        }
    }

    /// Refuses a comment that was accepted. A retry is a new comment: this one was not kept.
    pub(super) fn refuse_pending(&mut self, id: CommentId, reject: Reject) -> Vec<Effect<H>> {
        let Some(pending) = self.pending_comments.remove(&id) else {
            return Vec::new();
        };
        self.modes.comment_refused(pending.author, id);
        if let Some(key) = pending.text_key {
            self.modes.text_released(key, id);
        }
        if let Some(key) = pending.key {
            self.posted_comments.forget(&key, id);
            self.sampled_comments.forget(&key, id);
            self.held_requests.forget(&key, id);
        }
        let refuse = |to| Effect::Reply {
            to,
            result: Err(reject),
        };
        pending.waiters.into_iter().map(refuse).collect()
    }

    /// A comment got its place. Its answer follows the event. One that nobody here waits for was
    /// posted on another node, and may be retried here.
    pub(super) fn comment_ordered(
        &mut self,
        comment: &Arc<Comment>,
        offset: Offset,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        match self.pending_comments.get_mut(&comment.id) {
            Some(pending) => {
                pending.offset = Some(offset);
                self.counts.comments_shown += 1;
            }
            None => self.posted_comments.record_remote(comment, offset),
        }
        // Also of one that was posted here: it may have been before the modes that ask for this.
        self.note_comment(comment, now);
        self.answer_comment(comment.id)
    }

    fn answer_comment(&mut self, id: CommentId) -> Vec<Effect<H>> {
        let Some(pending) = self.pending_comments.get(&id) else {
            return Vec::new();
        };
        if !pending.stored || pending.offset.is_none() {
            return Vec::new();
        }
        let Some(pending) = self.pending_comments.remove(&id) else {
            return Vec::new();
        };
        if let Some(key) = &pending.key {
            self.posted_comments.sequenced(key, id, pending.offset);
        }
        let reply = Reply::Commented {
            comment_id: id,
            offset: pending.offset,
            shown: pending.shown,
        };
        pending
            .waiters
            .into_iter()
            .map(|to| Effect::Reply {
                to,
                result: Ok(reply.clone()),
            })
            .collect()
    }

    fn set_limiter(&mut self, user: UserId, limiter: Bucket, now: Timestamp) {
        self.sweep_limiters(now);
        self.limiters.insert(user, limiter);
    }

    fn sweep_limiters(&mut self, now: Timestamp) {
        if self.limiters.len() >= LIMITERS_BEFORE_SWEEP.max(2 * self.members.users_count()) {
            self.limiters.retain(|_, limiter| !limiter.is_full(now));
        }
    }
}

/// A comment that no check refused.
struct Accepted {
    /// As it was sent.
    text: CommentText,
    request_id: Option<RequestId>,
    filtered: FilterVerdict,
    text_key: Option<TextKey>,
    verdict: CheckResult,
}

/// The checks of a new comment of a user who may comment here at all.
fn decide<H>(
    context: &mut CommentContext<'_>,
    modes: &ModeState,
    text: Result<CommentText, Reject>,
    request_id: Result<Option<RequestId>, Reject>,
    env: &impl CommandEnv<H>,
) -> Result<Accepted, Reject> {
    refused(context.decide(&Check::OF_MODES))?;
    let (text, request_id) = (text?, request_id?);
    refused(context.decide(&Check::OF_TIME))?;
    let filtered = env.check_text(text.as_str());
    filtered.count();
    context.filtered = filtered.action();
    // By the text that members see, which is what other nodes know of it.
    let shown = text.masked(&filtered);
    let text_key = modes.text_key(shown.as_ref().unwrap_or(&text).as_str());
    context.is_repeated = text_key.is_some_and(|key| modes.is_repeated(key, context.now));
    // Only the shield asks for it.
    context.has_link = context.modes.shield && text.has_link();
    let verdict = context.decide(&Check::OF_COMMENT);
    refused(verdict)?;
    Ok(Accepted {
        text,
        request_id,
        filtered,
        text_key,
        verdict,
    })
}

fn refused(verdict: CheckResult) -> Result<(), Reject> {
    match verdict {
        CheckResult::Refused(reject) => Err(reject),
        CheckResult::Passed | CheckResult::Hidden | CheckResult::Held(_) => Ok(()),
    }
}

/// The command that posted a comment, if it has a name.
pub(super) fn command_key(comment: &Comment) -> Option<CommandKey> {
    comment
        .request_id
        .clone()
        .map(|request_id| (comment.author.id, request_id))
}
