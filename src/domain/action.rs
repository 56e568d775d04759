//! Everything that acts on a room or on the site and is neither a comment nor a gift, and who may
//! do it.

use std::sync::Arc;

use super::word_filter::TermLines;
use super::{
    ActionId, ChangedModes, CommentId, Denial, GiftChange, HeldComment, HeldDecision, Live, LiveId,
    LiveStatus, ModesChange, PURGE_LOT_MAX, Permission, Permissions, Pin, Reject, ReportsChange,
    RoomEvent, Sanction, SanctionKind, SanctionOrder, SanctionScope, Standing, Timestamp, UserId,
};

/// Longest text of a notice, in characters.
pub const NOTICE_CHARS_MAX: usize = 200;
/// Most comments that are taken down together: the newest.
pub const TAKE_DOWN_MAX: u32 = 500;
/// For how long comments that were taken down together can be shown again, in milliseconds: a day.
pub const RESTORE_MS: i64 = 86_400_000;
/// For how long an author may take its own comment down, in milliseconds.
pub const OWN_TAKE_DOWN_MS: i64 = 120_000;
/// Longest title of a live, in characters.
pub const TITLE_CHARS_MAX: usize = 100;
/// Longest reason for an action, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// Whether a text of an action, or of what else operators write, can be stored: 1 to `chars_max`
/// characters, none of them U+0000.
pub fn is_text(text: &str, chars_max: usize) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= chars_max
}

/// One thing that somebody does to a room, a user or the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Takes a comment down for good.
    TakeDown(CommentId),
    /// Takes the newest comments of a user in this live down: 1 to [`TAKE_DOWN_MAX`].
    TakeDownLast {
        user: UserId,
        count: u32,
    },
    /// Shows the comments of a user again that were taken down together last, by a ban or by
    /// [`Action::TakeDownLast`].
    Restore(UserId),
    /// Decides about a comment that waits for review: it is shown, or denied.
    Review {
        comment_id: CommentId,
        approve: bool,
    },
    /// Shows a text to everybody in a room.
    Notice(Arc<str>),
    /// Removes a user from a room.
    Kick(UserId),
    /// Reports a comment to the moderators.
    Report(CommentId),
    /// Settles a reported comment that stays.
    DismissReports(CommentId),
    /// Pins a comment in a live that has not ended, or nothing any more.
    Pin(Option<CommentId>),
    /// Starts, pauses, resumes or ends a live.
    SetStatus(LiveStatus),
    /// Gives a live that has not ended another title.
    SetTitle(Arc<str>),
    /// Forbids a user something, in this live or beyond it.
    Sanction(SanctionOrder),
    /// Lifts all sanctions of a kind that the actor may lift.
    Lift {
        user: UserId,
        kind: SanctionKind,
    },
    /// Names a moderator of all lives of this live's streamer, or dismisses one.
    SetModerator {
        user: UserId,
        moderator: bool,
    },
    /// Sets modes of a live that has not ended, and of its streamer's next ones.
    SetModes(ModesChange),
    /// Replaces the terms of the site or of a streamer.
    SetTerms(TermLines),
    /// Ends a user's sessions and refuses new ones.
    DisableUser(UserId),
    EnableUser(UserId),
    /// Writes down what a user does, or what happens in the live, for so long.
    Trace {
        /// `None`: the live of the scope.
        user: Option<UserId>,
        seconds: u32,
    },
    /// Changes the price of a gift, withdraws it from sale or puts it back.
    ChangeGift(GiftChange),
}

/// What an action changes in the store, beside its row of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Nothing,
    Comment,
    CommentsOfUser,
    /// What is pinned.
    Pin,
    HeldComment,
    /// The reported comments that nobody has settled.
    Reports,
    Live,
    User,
    /// What a user is and may do, see [`Standing`].
    Standing,
    Modes,
    /// A gift of the catalogue.
    Gift,
}

/// What is the same for all actions of a kind, and whom one is done to.
struct Facts {
    name: &'static str,
    target: Option<UserId>,
    subject: Subject,
}

impl Action {
    const fn facts(&self) -> Facts {
        let (name, target, subject) = match self {
            Self::TakeDown(_) => ("take_down", None, Subject::Comment),
            Self::TakeDownLast { user, .. } => {
                ("take_down_last", Some(*user), Subject::CommentsOfUser)
            }
            Self::Restore(user) => ("restore", Some(*user), Subject::CommentsOfUser),
            Self::Review { .. } => ("review", None, Subject::HeldComment),
            Self::Notice(_) => ("notice", None, Subject::Nothing),
            Self::Kick(user) => ("kick", Some(*user), Subject::Nothing),
            Self::Report(_) => ("report", None, Subject::Reports),
            Self::DismissReports(_) => ("dismiss_reports", None, Subject::Reports),
            Self::Pin(_) => ("pin", None, Subject::Pin),
            Self::SetStatus(_) => ("set_status", None, Subject::Live),
            Self::SetTitle(_) => ("set_title", None, Subject::Live),
            Self::Sanction(order) => {
                let name = order.kind.name();
                (name, Some(order.user), Subject::Standing)
            }
            Self::Lift { user, kind } => {
                let name = match kind {
                    SanctionKind::Mute => "unmute",
                    SanctionKind::Ban => "unban",
                    SanctionKind::Shadow => "unshadow",
                };
                (name, Some(*user), Subject::Standing)
            }
            Self::SetModerator { user, .. } => ("set_moderator", Some(*user), Subject::Standing),
            Self::SetModes(_) => ("set_modes", None, Subject::Modes),
            Self::SetTerms(_) => ("set_terms", None, Subject::Nothing),
            Self::DisableUser(user) => ("disable_user", Some(*user), Subject::User),
            Self::EnableUser(user) => ("enable_user", Some(*user), Subject::User),
            Self::Trace { user, .. } => ("trace", *user, Subject::Nothing),
            Self::ChangeGift(_) => ("change_gift", None, Subject::Gift),
        };
        Facts {
            name,
            target,
            subject,
        }
    }

    /// The word for it in the audit table and in logs. Stored: never change one.
    pub const fn name(&self) -> &'static str {
        self.facts().name
    }

    /// The user whom it is done to.
    pub const fn target(&self) -> Option<UserId> {
        self.facts().target
    }

    pub const fn subject(&self) -> Subject {
        self.facts().subject
    }

    /// What it adds to the log of a live's room. `at`: when it was done.
    pub fn entries(
        &self,
        live_id: LiveId,
        at: Timestamp,
        aftermath: &Aftermath<'_>,
    ) -> Vec<EntryContent> {
        let purged = aftermath.removed.chunks(PURGE_LOT_MAX).map(|lot| {
            EntryContent::Event(RoomEvent::Purged {
                live_id,
                comment_ids: lot.into(),
            })
        });
        let entry = match self {
            // Nobody but moderators has seen a comment that was held.
            Self::TakeDown(_) | Self::Review { .. } if aftermath.decision.is_some() => {
                aftermath.decision.map(EntryContent::from)
            }
            Self::TakeDown(comment_id) => Some(EntryContent::Event(RoomEvent::Removed {
                live_id,
                comment_id: *comment_id,
            })),
            Self::Notice(text) => Some(EntryContent::Event(RoomEvent::Notice {
                live_id,
                text: text.clone(),
            })),
            Self::SetStatus(_) | Self::SetTitle(_) => aftermath.live.map(Live::status_entry),
            Self::Kick(user) => Some(EntryContent::Control(Control::Kick { user: *user, at })),
            Self::Sanction(SanctionOrder { user, .. })
            | Self::Lift { user, .. }
            | Self::SetModerator { user, .. } => aftermath.standing.map(|(version, standing)| {
                EntryContent::Control(Control::Standing {
                    version,
                    user: *user,
                    standing: standing.clone(),
                })
            }),
            Self::SetModes(_) => aftermath.modes.map(|changed| {
                EntryContent::Event(RoomEvent::Modes {
                    live_id,
                    changed: *changed,
                })
            }),
            Self::Report(_) | Self::DismissReports(_) => aftermath
                .reports
                .map(|change| EntryContent::Control(Control::Reports(change))),
            Self::TakeDownLast { .. }
            | Self::Restore(_)
            | Self::Pin(_)
            | Self::Review { .. }
            | Self::SetTerms(_)
            | Self::DisableUser(_)
            | Self::EnableUser(_)
            | Self::ChangeGift(_)
            | Self::Trace { .. } => None,
        };
        let pinned = aftermath
            .pin
            .map(|pin| EntryContent::Event(pin.event(live_id)));
        entry.into_iter().chain(purged).chain(pinned).collect()
    }

    /// Whether it means nothing unless somebody is in the room: it leaves nothing behind that is
    /// read later.
    pub const fn needs_open_room(&self) -> bool {
        matches!(self, Self::Notice(_))
    }
}

/// What an action left behind, as far as entries of a room's log say it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aftermath<'a> {
    /// The live, if the action changed it.
    pub live: Option<&'a Live>,
    /// The standing of its target in this live, and the streamer's change that it is from, if the
    /// action changed that.
    pub standing: Option<(u64, &'a Standing)>,
    /// What it did to the queue of reports, if that is worth a notice.
    pub reports: Option<ReportsChange>,
    /// What is pinned since, if the action changed that.
    pub pin: Option<&'a Pin>,
    /// The modes of the live, if the action changed them.
    pub modes: Option<&'a ChangedModes>,
    /// Comments of its target that it took down together.
    pub removed: &'a [CommentId],
    /// What it decided about a held comment.
    pub decision: Option<&'a HeldDecision>,
}

/// The result of an action on a user's standing or comments, or on modes, as its actor is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Sanctioned(Sanction),
    /// Sanctions of the same kind that still hold: the actor may not lift them.
    Lifted {
        remaining: Vec<Sanction>,
    },
    Moderator(bool),
    Modes(ChangedModes),
    /// So many comments were taken down.
    TakenDown(usize),
    /// So many comments are shown again.
    Restored(usize),
    /// A held comment is shown, or denied.
    Reviewed {
        comment_id: CommentId,
        approved: bool,
    },
}

/// One thing that an action adds to a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEntry {
    key: EntryKey,
    pub content: EntryContent,
}

/// Names what an action adds to a room's log: whoever appends it and however often, it is one
/// entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKey {
    Action(ActionId),
    /// A further entry of the same action, from 1.
    Part(ActionId, u8),
    /// All actions that take this comment down.
    Removal(CommentId),
    /// This comment is held.
    Held(CommentId),
    /// What becomes of this held comment, whoever decides it: that is decided once.
    Decision(CommentId),
}

impl ActionEntry {
    /// An entry of an action; `part`: which of its entries, from 0.
    pub fn of_action(id: ActionId, part: u8, content: EntryContent) -> Self {
        let key = content.key().unwrap_or(match part {
            0 => EntryKey::Action(id),
            part => EntryKey::Part(id, part),
        });
        Self { key, content }
    }

    /// Says that a comment is held.
    pub fn of_held(held: Arc<HeldComment>) -> Self {
        Self {
            key: EntryKey::Held(held.comment.id),
            content: EntryContent::Control(Control::Held(held)),
        }
    }

    /// Says what becomes of a held comment.
    pub fn of_decision(decision: &HeldDecision) -> Self {
        Self {
            key: EntryKey::Decision(decision.comment_id()),
            content: decision.into(),
        }
    }

    pub const fn key(&self) -> EntryKey {
        self.key
    }

    /// The same entry, as its room says it.
    pub fn with(self, content: EntryContent) -> Self {
        Self { content, ..self }
    }

    /// Whether it says what something is that a room reads when it opens: then it is worth nothing
    /// to a room that reads it later.
    pub fn is_state(&self) -> bool {
        matches!(
            self.content,
            EntryContent::Event(
                RoomEvent::Live { .. } | RoomEvent::Modes { .. } | RoomEvent::Pinned { .. }
            ) | EntryContent::Control(Control::Standing { .. })
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// Members see it, and it has an offset.
    Event(RoomEvent),
    /// Nodes alone see it, and it has no offset.
    Control(Control),
}

impl EntryContent {
    /// The key of an entry that is the same whichever action adds it.
    fn key(&self) -> Option<EntryKey> {
        Some(match self {
            Self::Event(RoomEvent::Removed { comment_id, .. }) => EntryKey::Removal(*comment_id),
            // Other comments are not entries of actions.
            Self::Event(RoomEvent::Comment(comment)) => EntryKey::Decision(comment.id),
            Self::Control(Control::Denied(denial)) => EntryKey::Decision(denial.comment_id),
            Self::Control(Control::Held(held)) => EntryKey::Held(held.comment.id),
            _ => return None,
        })
    }
}

impl From<&HeldDecision> for EntryContent {
    fn from(decision: &HeldDecision) -> Self {
        match decision {
            HeldDecision::Shown(comment) => Self::Event(RoomEvent::Comment(comment.clone())),
            HeldDecision::Denied(denial) => Self::Control(Control::Denied(denial.clone())),
        }
    }
}

/// An instruction to every node that has the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The user was removed from the room then. However late it arrives, it is about sessions that
    /// joined up to [`KICK_REACH_MS`] after that.
    Kick { user: UserId, at: Timestamp },
    /// This is what the user is and may do here, by the streamer's change of that number.
    Standing {
        version: u64,
        user: UserId,
        standing: Standing,
    },
    /// A comment is held, which moderators are notified of.
    Held(Arc<HeldComment>),
    /// A held comment will not be shown, which its author is notified of.
    Denied(Denial),
    /// The queue of reports changed.
    Reports(ReportsChange),
}

impl Control {
    /// Whether the log keeps it for nodes that are cut off when it is published. Notices are not
    /// kept: a room may have many of them a second, and they would push out what must not get lost.
    /// A node that misses one misses that a comment is held until the end of a short delay, that one
    /// will not be shown, or how many are reported, which the next notice says again.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Kick { .. } | Self::Standing { .. } => true,
            Self::Held(held) => held.rule.is_for_review(),
            Self::Denied(_) | Self::Reports(_) => false,
        }
    }
}

/// For how long a user who was removed may not come back: more than clocks of nodes differ, and
/// longer than clients take that join again by themselves.
pub const KICK_REACH_MS: i64 = 10_000;
/// For how long a node that missed entries of a room's log still applies those about users who were
/// removed, in milliseconds.
pub const KICKS_KNOWN_MS: i64 = 600_000;

/// Where an action holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Live(LiveId),
    /// All lives of one streamer.
    Streamer(UserId),
    Site,
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Any of the operators: see [`Actor`](super::Actor).
    Operator,
    User(UserId),
}

/// What somebody is in a scope, from the lowest rank to the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    /// Named by a streamer, for all of its lives.
    Moderator,
    Streamer,
    /// An operator who keeps order in rooms and may not act on the whole site.
    RoomOperator,
    Operator,
}

impl Role {
    /// The role of an operator with these permissions, in every scope.
    pub const fn of_operator(permissions: Permissions) -> Self {
        if permissions.contains(Permission::Operate) {
            Self::Operator
        } else {
            Self::RoomOperator
        }
    }

    /// `streamer`: the user whose lives the scope is about, if it is about any. `is_moderator`:
    /// whether the actor is one of that streamer's.
    pub fn of(actor: Principal, streamer: Option<UserId>, is_moderator: bool) -> Self {
        match actor {
            Principal::Operator => Self::Operator,
            Principal::User(user) if streamer == Some(user) => Self::Streamer,
            Principal::User(_) if is_moderator => Self::Moderator,
            Principal::User(_) => Self::Viewer,
        }
    }

    /// The word for it in the audit table and on the wire. Stored and sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Moderator => "moderator",
            Self::Streamer => "streamer",
            Self::RoomOperator => "room_operator",
            Self::Operator => "operator",
        }
    }
}

/// Whether somebody of this role may do this, and to a user of the role `target` if it is done to
/// one: that takes a higher rank. Errors: `NotAllowed`; `BadRequest` for an action that does not
/// exist in this scope.
pub fn may(role: Role, target: Option<Role>, scope: Scope, action: &Action) -> Result<(), Reject> {
    let is_allowed = match (action, scope) {
        (Action::Notice(_) | Action::SetTitle(_), Scope::Live(_)) => role >= Role::Streamer,
        (
            Action::TakeDown(_)
            | Action::TakeDownLast { .. }
            | Action::Restore(_)
            | Action::Pin(_)
            | Action::Review { .. }
            | Action::Kick(_),
            Scope::Live(_),
        ) => role >= Role::Moderator,
        (Action::Sanction(order), Scope::Live(_)) => match (order.scope, order.kind) {
            (SanctionScope::Site, _) => role == Role::Operator,
            (_, kind) => role >= least_role(kind),
        },
        (Action::Lift { kind, .. }, Scope::Live(_)) => role >= least_role(*kind),
        (Action::Report(_), Scope::Live(_)) => role < Role::RoomOperator,
        (Action::DismissReports(_), Scope::Live(_)) => role >= Role::Moderator,
        (Action::SetModerator { .. }, Scope::Live(_)) => role >= Role::Streamer,
        (Action::SetModes(_), Scope::Live(_)) => role >= Role::Moderator,
        (Action::SetStatus(LiveStatus::Ended), Scope::Live(_)) => {
            matches!(role, Role::Streamer | Role::Operator)
        }
        // A show is run by its streamer, and never goes back to not having begun.
        (Action::SetStatus(status), Scope::Live(_)) => role == Role::Streamer && status.is_on_air(),
        (Action::SetTerms(_), Scope::Streamer(_)) => {
            matches!(role, Role::Streamer | Role::Operator)
        }
        (Action::SetTerms(_), Scope::Site) => role == Role::Operator,
        (Action::DisableUser(_) | Action::EnableUser(_) | Action::ChangeGift(_), Scope::Site) => {
            role == Role::Operator
        }
        (Action::Trace { .. }, Scope::Live(_) | Scope::Site) => role == Role::Operator,
        _ => return Err(Reject::BadRequest { what: "scope" }),
    };
    if is_allowed && target.is_none_or(|target| target < role) {
        Ok(())
    } else {
        Err(Reject::NotAllowed)
    }
}

/// The lowest role that gives and lifts sanctions of this kind.
const fn least_role(kind: SanctionKind) -> Role {
    match kind {
        SanctionKind::Mute | SanctionKind::Ban => Role::Moderator,
        SanctionKind::Shadow => Role::Streamer,
    }
}

/// Whether somebody of this role lifts a sanction that `by` gave: those of the site, and all that
/// operators gave, are theirs.
pub fn may_lift(role: Role, scope: SanctionScope, by: Principal) -> bool {
    let least = match (scope, by) {
        (SanctionScope::Site, _) => Role::Operator,
        (_, Principal::Operator) => Role::RoomOperator,
        (_, Principal::User(_)) => Role::Moderator,
    };
    role >= least
}

#[cfg(test)]
mod tests;
