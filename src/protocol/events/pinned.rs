//! The event `pinned`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CommentBody, Kind};
use crate::domain::{ActionId, LiveId, Pin, Principal, RoomEvent, UserId};

#[derive(Serialize, Deserialize)]
pub(super) struct PinnedBody<'a> {
    live_id: i64,
    /// `null`: nothing is pinned any more.
    #[serde(borrow)]
    comment: Option<CommentBody<'a>>,
    #[serde(borrow)]
    by: By<'a>,
}

/// Somebody who acts: `operator`, or the id of a user.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum By<'a> {
    User(i64),
    #[serde(borrow)]
    Operator(Cow<'a, str>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct PinnedPrivate {
    action: i64,
}

impl<'a> PinnedBody<'a> {
    pub(super) fn of(live_id: LiveId, pin: &'a Pin) -> Self {
        Self {
            live_id: live_id.get(),
            comment: pin.comment.as_deref().map(CommentBody::from),
            by: match pin.by {
                Principal::Operator => By::Operator("operator".into()),
                Principal::User(user) => By::User(user.get()),
            },
        }
    }
}

impl PinnedPrivate {
    pub(super) fn of(pin: &Pin) -> Self {
        Self {
            action: pin.action.get(),
        }
    }
}

impl<'a> Kind<'a> for PinnedBody<'a> {
    const NAME: &'static str = "pinned";
    type Private = PinnedPrivate;

    fn into_event(self, private: PinnedPrivate) -> Option<RoomEvent> {
        let comment = match self.comment {
            Some(comment) => Some(Arc::new(comment.into_comment(None)?)),
            None => None,
        };
        let by = match self.by {
            By::User(user) => Principal::User(UserId::new(user)?),
            By::Operator(_) => Principal::Operator,
        };
        Some(RoomEvent::Pinned {
            live_id: LiveId::new(self.live_id)?,
            pin: Pin {
                comment,
                by,
                action: ActionId::new(private.action)?,
            },
        })
    }
}
