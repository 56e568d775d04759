//! Everything that acts on a room or on the site and is neither a comment nor a gift, and who may
//! do it.

use std::sync::Arc;

use super::{ActionId, CommentId, Live, LiveId, LiveStatus, Reject, RoomEvent, Timestamp, UserId};

/// Longest text of a notice, in characters.
pub const NOTICE_CHARS_MAX: usize = 200;
/// Longest title of a live, in characters.
pub const TITLE_CHARS_MAX: usize = 100;
/// Longest reason for an action, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// Whether a text of an action, or of what else operators write, can be stored: 1 to `chars_max`
/// characters, none of them U+0000.
pub fn is_text(text: &str, chars_max: usize) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= chars_max
}

/// One thing that an operator or a streamer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Takes a comment down for good.
    TakeDown(CommentId),
    /// Shows a text to everybody in a room.
    Notice(Arc<str>),
    /// Removes a user from a room.
    Kick(UserId),
    /// Starts, pauses, resumes or ends a live.
    SetStatus(LiveStatus),
    /// Gives a live that has not ended another title.
    SetTitle(Arc<str>),
    /// Ends a user's sessions and refuses new ones.
    DisableUser(UserId),
    EnableUser(UserId),
}

/// What an action changes in the store, beside its row of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Nothing,
    Comment,
    Live,
    User,
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
            Self::Notice(_) => ("notice", None, Subject::Nothing),
            Self::Kick(user) => ("kick", Some(*user), Subject::Nothing),
            Self::SetStatus(_) => ("set_status", None, Subject::Live),
            Self::SetTitle(_) => ("set_title", None, Subject::Live),
            Self::DisableUser(user) => ("disable_user", Some(*user), Subject::User),
            Self::EnableUser(user) => ("enable_user", Some(*user), Subject::User),
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

    /// What it adds to the log of a live's room, if it adds anything. `at`: when it was done.
    /// `live`: as the action left it, if it changed the live.
    pub fn entry(
        &self,
        live_id: LiveId,
        at: Timestamp,
        live: Option<&Live>,
    ) -> Option<EntryContent> {
        match self {
            Self::TakeDown(comment_id) => Some(EntryContent::Event(RoomEvent::Removed {
                live_id,
                comment_id: *comment_id,
            })),
            Self::Notice(text) => Some(EntryContent::Event(RoomEvent::Notice {
                live_id,
                text: text.clone(),
            })),
            Self::SetStatus(_) | Self::SetTitle(_) => live.map(Live::status_entry),
            Self::Kick(user) => Some(EntryContent::Control(Control::Kick { user: *user, at })),
            Self::DisableUser(_) | Self::EnableUser(_) => None,
        }
    }

    /// Whether it means nothing unless somebody is in the room: it leaves nothing behind that is
    /// read later.
    pub const fn needs_open_room(&self) -> bool {
        matches!(self, Self::Notice(_))
    }
}

/// What an action adds to a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEntry {
    pub id: ActionId,
    pub content: EntryContent,
}

/// Names what an action adds to a room's log: whoever appends it and however often, it is one
/// entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKey {
    Action(ActionId),
    /// All actions that take this comment down.
    Removal(CommentId),
}

impl ActionEntry {
    pub fn key(&self) -> EntryKey {
        match &self.content {
            EntryContent::Event(RoomEvent::Removed { comment_id, .. }) => {
                EntryKey::Removal(*comment_id)
            }
            _ => EntryKey::Action(self.id),
        }
    }

    /// Whether it says what the status of the live is.
    pub fn is_status(&self) -> bool {
        matches!(self.content, EntryContent::Event(RoomEvent::Live { .. }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// Members see it, and it has an offset.
    Event(RoomEvent),
    /// Nodes alone see it, and it has no offset.
    Control(Control),
}

/// An instruction to every node that has the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The user was removed from the room then. However late it arrives, it is about sessions that
    /// joined up to [`KICK_REACH_MS`] after that.
    Kick { user: UserId, at: Timestamp },
}

/// More than clocks of nodes differ, less than a person waits before it comes back.
pub const KICK_REACH_MS: i64 = 10_000;

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
    /// Whoever presents the operators' token.
    Operator,
    User(UserId),
}

/// What somebody is in a scope, from the lowest rank to the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Streamer,
    Operator,
}

impl Role {
    /// `streamer`: the user whose lives the scope is about, if it is about any.
    pub fn of(actor: Principal, streamer: Option<UserId>) -> Self {
        match actor {
            Principal::Operator => Self::Operator,
            Principal::User(user) if streamer == Some(user) => Self::Streamer,
            Principal::User(_) => Self::Viewer,
        }
    }

    /// The word for it in the audit table. Stored: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Streamer => "streamer",
            Self::Operator => "operator",
        }
    }
}

/// Whether somebody of this role may do this, and to a user of the role `target` if it is done to
/// one: that takes a higher rank. Errors: `NotAllowed`; `BadRequest` for an action that does not
/// exist in this scope.
pub fn may(role: Role, target: Option<Role>, scope: Scope, action: &Action) -> Result<(), Reject> {
    let is_allowed = match (action, scope) {
        (
            Action::TakeDown(_) | Action::Notice(_) | Action::Kick(_) | Action::SetTitle(_),
            Scope::Live(_),
        ) => role >= Role::Streamer,
        (Action::SetStatus(LiveStatus::Ended), Scope::Live(_)) => role >= Role::Streamer,
        // A show is run by its streamer, and never goes back to not having begun.
        (Action::SetStatus(status), Scope::Live(_)) => role == Role::Streamer && status.is_on_air(),
        (Action::DisableUser(_) | Action::EnableUser(_), Scope::Site) => role == Role::Operator,
        _ => return Err(Reject::BadRequest { what: "scope" }),
    };
    if is_allowed && target.is_none_or(|target| target < role) {
        Ok(())
    } else {
        Err(Reject::NotAllowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Scope = Scope::Live(LiveId::FIRST);
    const STREAMERS_LIVES: Scope = Scope::Streamer(UserId::FIRST);
    const ROLES: [Role; 3] = [Role::Viewer, Role::Streamer, Role::Operator];

    /// For each action the scope that it has, and for each role whether it may: viewer, streamer,
    /// operator. One that is done to a user is done to a viewer here.
    fn table() -> Vec<(Action, Scope, [bool; 3])> {
        let user = UserId::FIRST;
        vec![
            (
                Action::TakeDown(CommentId::FIRST),
                LIVE,
                [false, true, true],
            ),
            (Action::Notice("hello".into()), LIVE, [false, true, true]),
            (Action::Kick(user), LIVE, [false, true, true]),
            (
                Action::SetTitle("tonight".into()),
                LIVE,
                [false, true, true],
            ),
            (
                Action::SetStatus(LiveStatus::Scheduled),
                LIVE,
                [false, false, false],
            ),
            (
                Action::SetStatus(LiveStatus::OnAir),
                LIVE,
                [false, true, false],
            ),
            (
                Action::SetStatus(LiveStatus::Paused),
                LIVE,
                [false, true, false],
            ),
            (
                Action::SetStatus(LiveStatus::Ended),
                LIVE,
                [false, true, true],
            ),
            (Action::DisableUser(user), Scope::Site, [false, false, true]),
            (Action::EnableUser(user), Scope::Site, [false, false, true]),
        ]
    }

    fn target_of(action: &Action, role: Role) -> Option<Role> {
        action.target().map(|_| role)
    }

    #[test]
    fn each_role_may_do_what_the_table_says_and_only_in_the_scope_it_says() {
        for (action, its_scope, allowed) in table() {
            let target = target_of(&action, Role::Viewer);
            for (role, allowed) in ROLES.into_iter().zip(allowed) {
                for scope in [LIVE, STREAMERS_LIVES, Scope::Site] {
                    let expected = match scope == its_scope {
                        false => Err(Reject::BadRequest { what: "scope" }),
                        true if allowed => Ok(()),
                        true => Err(Reject::NotAllowed),
                    };
                    assert_eq!(
                        may(role, target, scope, &action),
                        expected,
                        "{role:?} {scope:?} {action:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nobody_acts_on_a_user_of_the_same_rank_or_a_higher_one() {
        let kick = Action::Kick(UserId::FIRST);
        let may = |role, target| may(role, Some(target), LIVE, &kick);
        assert_eq!(may(Role::Streamer, Role::Streamer), Err(Reject::NotAllowed));
        assert_eq!(may(Role::Streamer, Role::Operator), Err(Reject::NotAllowed));
        assert_eq!(may(Role::Operator, Role::Streamer), Ok(()));
        assert_eq!(may(Role::Operator, Role::Operator), Err(Reject::NotAllowed));
    }

    #[test]
    fn a_user_is_a_streamer_in_its_own_lives_alone() {
        let (alice, bob) = (UserId::FIRST, UserId::new(2).unwrap());
        assert_eq!(
            Role::of(Principal::User(alice), Some(alice)),
            Role::Streamer
        );
        assert_eq!(Role::of(Principal::User(bob), Some(alice)), Role::Viewer);
        assert_eq!(Role::of(Principal::User(bob), None), Role::Viewer);
        assert_eq!(Role::of(Principal::Operator, Some(alice)), Role::Operator);
    }
}
