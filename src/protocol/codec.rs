//! The codecs a session can speak, and what rooms say in them beside recoverable events
//! (`events.rs`).
//!
//! The order of fields is part of the contract: those of the system this replaces come first, in
//! its order, and additions after them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::refusal::kick_code;
use crate::domain::{
    CrowdRate, KickReason, LiveId, Presence, PresenceAction, Principal, Profile, UserId,
};

/// The wire form of a session's packets. The first two differ in Engine.IO framing and in CONNECT;
/// their event packets are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Engine.IO 3, Socket.IO protocol 4: socket.io-client 2.x.
    Eio3,
    /// Engine.IO 4, Socket.IO protocol 5: socket.io-client 3.x and 4.x.
    Eio4,
    /// One JSON object per WebSocket text frame.
    PlainJson,
}

impl Codec {
    pub const fn dialect(self) -> Dialect {
        match self {
            Codec::Eio3 | Codec::Eio4 => Dialect::SocketIo,
            Codec::PlainJson => Dialect::PlainJson,
        }
    }
}

/// Codecs whose events are the same bytes: an event for all members is encoded once for each
/// dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `42["name",payload]`, a whole Engine.IO message.
    SocketIo,
    /// `{"event":"name","data":payload}`
    PlainJson,
}

impl Dialect {
    pub const ALL: [Self; 2] = [Self::SocketIo, Self::PlainJson];
    pub const COUNT: usize = Self::ALL.len();

    /// A place for each dialect in an array of [`Dialect::COUNT`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How many of the crowd's comments members see, per second.
pub fn rate_text(dialect: Dialect, live_id: LiveId, rate: CrowdRate) -> String {
    #[derive(Serialize)]
    struct RateBody {
        live_id: i64,
        shown: u32,
        total: u32,
    }
    let CrowdRate { shown, total } = rate;
    push_text(
        dialect,
        "rate",
        &RateBody {
            live_id: live_id.get(),
            shown,
            total,
        },
    )
}

/// The users online, after a change.
pub fn presence_text(dialect: Dialect, presence: &Presence) -> String {
    let body = OnlineBody {
        clients: presence.clients.iter().map(|id| &**id).collect(),
        action: match presence.action {
            PresenceAction::Join => "join",
            PresenceAction::Leave => "leave",
        },
        user: UserBody::from(&*presence.user),
        data: presence
            .users
            .as_ref()
            .map(|users| users.iter().map(|user| UserBody::from(&**user)).collect()),
        count: presence.count,
        live_id: presence.live_id.get(),
        joined: presence.net_changes.map(|changes| changes.joined),
        left: presence.net_changes.map(|changes| changes.left),
    };
    push_text(dialect, "online", &body)
}

/// Notifies one member that it was removed from a room: why, in the words of refusals, and when it
/// may come back, if that is known.
pub fn kicked_text(dialect: Dialect, live_id: LiveId, why: &KickReason) -> String {
    #[derive(Serialize)]
    struct Kicked<'a> {
        live_id: i64,
        code: &'a str,
        until: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let (until, reason) = match why {
        KickReason::Operator { until } => (Some(*until), None),
        KickReason::Banned { until, reason } => (*until, reason.as_deref()),
        KickReason::IdentityChanged | KickReason::RoomRestarted => (None, None),
    };
    let kicked = Kicked {
        live_id: live_id.get(),
        code: kick_code(why),
        until: until.map(|at| at.0),
        reason,
    };
    push_text(dialect, "kicked", &kicked)
}

/// The last frame on `/ws` before it is closed, as the replaced system sends it.
pub fn fail_text(text: &str) -> String {
    #[derive(Serialize)]
    struct Fail<'a> {
        msg: &'a str,
        data: &'a str,
    }
    json(&Fail {
        msg: "fail",
        data: text,
    })
}

/// An event named `name`, in the form that a client receives.
pub(super) fn push_text(dialect: Dialect, name: &str, payload: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct PlainEvent<'a, T> {
        event: &'a str,
        data: &'a T,
    }
    match dialect {
        Dialect::SocketIo => {
            let mut text = json(&(name, payload));
            text.insert_str(0, "42");
            text
        }
        Dialect::PlainJson => json(&PlainEvent {
            event: name,
            data: payload,
        }),
    }
}

/// JSON of a value of this module's making: structs, strings and numbers, which serde_json cannot
/// fail on.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("wire structs have string keys and infallible fields")
}

/// Somebody who acts: `"operator"`, or the id of a user.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum ActorBody {
    Operator(Cow<'static, str>),
    User(i64),
}

impl From<Principal> for ActorBody {
    fn from(principal: Principal) -> Self {
        match principal {
            Principal::Operator => Self::Operator("operator".into()),
            Principal::User(user) => Self::User(user.get()),
        }
    }
}

impl ActorBody {
    pub(super) fn read(&self) -> Option<Principal> {
        match self {
            Self::Operator(_) => Some(Principal::Operator),
            Self::User(user) => UserId::new(*user).map(Principal::User),
        }
    }
}

/// A user, as clients and nodes get it.
#[derive(Serialize, Deserialize)]
pub(super) struct UserBody<'a> {
    pub(super) id: i64,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) avatar: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Profile> for UserBody<'a> {
    fn from(profile: &'a Profile) -> Self {
        let avatar = profile.avatar.as_deref().map(Cow::from);
        Self {
            id: profile.id.get(),
            name: Cow::from(&profile.name),
            avatar,
        }
    }
}

impl UserBody<'_> {
    /// `None` for an id that no user has.
    pub(super) fn read(self) -> Option<Arc<Profile>> {
        let avatar = self.avatar.map(Cow::into_owned);
        Some(Arc::new(Profile {
            id: UserId::new(self.id)?,
            name: self.name.into_owned(),
            avatar,
        }))
    }
}

#[derive(Serialize)]
struct OnlineBody<'a> {
    clients: Vec<&'a str>,
    action: &'a str,
    user: UserBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<UserBody<'a>>>,
    count: usize,
    live_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn a_user_without_avatar_has_null_and_one_with_an_empty_keeps_it() {
        let profile = |avatar| Profile {
            id: UserId::new(5).unwrap(),
            name: "wei".into(),
            avatar,
        };
        assert_eq!(
            json(&UserBody::from(&profile(None))),
            r#"{"id":5,"name":"wei","avatar":null}"#
        );
        assert_eq!(
            json(&UserBody::from(&profile(Some(String::new())))),
            r#"{"id":5,"name":"wei","avatar":""}"#
        );
    }

    #[test]
    fn a_rate_says_how_many_of_how_many() {
        let rate = CrowdRate {
            shown: 40,
            total: 312,
        };
        assert_eq!(
            rate_text(Dialect::PlainJson, LiveId::new(2).unwrap(), rate),
            r#"{"event":"rate","data":{"live_id":2,"shown":40,"total":312}}"#
        );
    }

    #[test]
    fn words_to_one_client() {
        let live_id = LiveId::new(2).unwrap();
        assert_eq!(
            kicked_text(Dialect::SocketIo, live_id, &KickReason::RoomRestarted),
            r#"42["kicked",{"live_id":2,"code":"room_restarted","until":null}]"#
        );
        let banned = |until, reason: Option<&str>| KickReason::Banned {
            until,
            reason: reason.map(Into::into),
        };
        assert_eq!(
            kicked_text(
                Dialect::PlainJson,
                live_id,
                &banned(Some(Timestamp(9)), Some("spam"))
            ),
            r#"{"event":"kicked","data":{"live_id":2,"code":"banned","until":9,"reason":"spam"}}"#
        );
        assert_eq!(
            kicked_text(Dialect::PlainJson, live_id, &banned(None, None)),
            r#"{"event":"kicked","data":{"live_id":2,"code":"banned","until":null}}"#
        );
        assert_eq!(
            fail_text("用户不存在"),
            r#"{"msg":"fail","data":"用户不存在"}"#
        );
    }
}
