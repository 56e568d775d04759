//! The codecs a session can speak, and what rooms say in them.
//!
//! The order of fields is part of the contract: those of the system this replaces come first, in
//! its order, and additions after them.

use serde::Serialize;

use crate::domain::{
    Comment, CrowdRate, GiftOrder, GiftReceipt, LiveId, Offset, Presence, PresenceAction, Profile, RoomEvent,
    Sequenced, Timestamp,
};

/// How a session's packets look. The first two differ in Engine.IO framing and in CONNECT; their
/// event packets are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Engine.IO 3, Socket.IO protocol 4: socket.io-client 2.x.
    SocketIoV2,
    /// Engine.IO 4, Socket.IO protocol 5: socket.io-client 3.x and 4.x.
    SocketIoV4,
    /// One JSON object per WebSocket text frame.
    PlainJson,
}

impl Codec {
    pub const fn dialect(self) -> Dialect {
        match self {
            Codec::SocketIoV2 | Codec::SocketIoV4 => Dialect::SocketIo,
            Codec::PlainJson => Dialect::PlainJson,
        }
    }
}

/// Codecs whose events are the same bytes: what is told to all is encoded once for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `42["name",payload]`, a whole Engine.IO message.
    SocketIo,
    /// `{"event":"name","data":payload}`
    PlainJson,
}

impl Dialect {
    pub const COUNT: usize = 2;

    /// A place for each dialect in an array of [`Dialect::COUNT`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A recoverable event, as all members get it.
pub fn event_text(dialect: Dialect, sequenced: &Sequenced) -> String {
    let (epoch, offset) = (&*sequenced.epoch, sequenced.offset);
    match &sequenced.event {
        RoomEvent::Comment(comment) => push_text(dialect, "comment", &comment_body(comment, Some(epoch), Some(offset))),
        RoomEvent::Gift { order, receipt } => push_text(dialect, "gift", &gift_body(order, receipt, epoch, offset)),
        RoomEvent::Live { live_id, status, title } => {
            let body = LiveBody { live_id: live_id.get(), status: status.code(), title, epoch, offset };
            push_text(dialect, "live", &body)
        }
        RoomEvent::Removed { live_id, comment_id } => {
            let body = RemovedBody { live_id: live_id.get(), id: comment_id.get().to_string(), epoch, offset };
            push_text(dialect, "removed", &body)
        }
        RoomEvent::Notice { live_id, text } => {
            push_text(dialect, "notice", &NoticeBody { live_id: live_id.get(), text, epoch, offset })
        }
    }
}

/// A comment as only its sender gets it: it was sampled out, so it has no place.
pub fn echo_text(dialect: Dialect, comment: &Comment) -> String {
    push_text(dialect, "comment", &comment_body(comment, None, None))
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
    push_text(dialect, "rate", &RateBody { live_id: live_id.get(), shown, total })
}

/// Who is online, after a change.
pub fn presence_text(dialect: Dialect, presence: &Presence) -> String {
    let body = OnlineBody {
        clients: presence.clients.iter().map(|id| &**id).collect(),
        action: match presence.action {
            PresenceAction::Join => "join",
            PresenceAction::Leave => "leave",
        },
        user: User::from(&*presence.user),
        data: presence.users.as_ref().map(|users| users.iter().map(|user| User::from(&**user)).collect()),
        count: presence.count,
        live_id: presence.live_id.get(),
        joined: presence.news.map(|news| news.joined),
        left: presence.news.map(|news| news.left),
    };
    push_text(dialect, "online", &body)
}

/// Tells one member that it is out of a room: `code` says why, in the words of refusals; `until`
/// is when it may come back, if that is known.
pub fn kicked_text(dialect: Dialect, live_id: LiveId, code: &str, until: Option<Timestamp>) -> String {
    #[derive(Serialize)]
    struct Kicked<'a> {
        live_id: i64,
        code: &'a str,
        until: Option<i64>,
    }
    push_text(dialect, "kicked", &Kicked { live_id: live_id.get(), code, until: until.map(|at| at.0) })
}

/// The last words on `/ws` before it is closed, as the system this replaces says them.
pub fn fail_text(text: &str) -> String {
    #[derive(Serialize)]
    struct Fail<'a> {
        msg: &'a str,
        data: &'a str,
    }
    json(&Fail { msg: "fail", data: text })
}

/// An event named `name` that a client hears.
pub(super) fn push_text(dialect: Dialect, name: &str, payload: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct PlainEvent<'a, T> {
        event: &'a str,
        data: &'a T,
    }
    match dialect {
        Dialect::SocketIo => format!("42{}", json(&(name, payload))),
        Dialect::PlainJson => json(&PlainEvent { event: name, data: payload }),
    }
}

/// JSON of a value of this module's making: structs, strings and numbers, which serde_json cannot
/// fail on.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("wire structs have string keys and infallible fields")
}

#[derive(Serialize)]
struct User<'a> {
    id: i64,
    name: &'a str,
    avatar: Option<&'a str>,
}

impl<'a> From<&'a Profile> for User<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self { id: profile.id.get(), name: &profile.name, avatar: profile.avatar.as_deref() }
    }
}

#[derive(Serialize)]
struct CommentBody<'a> {
    user: User<'a>,
    content: &'a str,
    /// Text, because it may exceed what a JavaScript number holds exactly.
    id: String,
    at: i64,
    live_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<Offset>,
}

fn comment_body<'a>(comment: &'a Comment, epoch: Option<&'a str>, offset: Option<Offset>) -> CommentBody<'a> {
    CommentBody {
        user: User::from(&*comment.author),
        content: comment.text.as_str(),
        id: comment.id.get().to_string(),
        at: comment.at.0,
        live_id: comment.live_id.get(),
        epoch,
        offset,
    }
}

#[derive(Serialize)]
struct GiftBody<'a> {
    avatar: Option<&'a str>,
    username: &'a str,
    gift_image: &'a str,
    gift_name: &'a str,
    num: i64,
    id: i64,
    user: User<'a>,
    gift_id: i64,
    /// The price of one.
    gift_coin: i64,
    live_id: i64,
    /// The live's total after it.
    live_coin: i64,
    at: i64,
    epoch: &'a str,
    offset: Offset,
}

fn gift_body<'a>(order: &'a GiftOrder, receipt: &GiftReceipt, epoch: &'a str, offset: Offset) -> GiftBody<'a> {
    GiftBody {
        avatar: order.giver.avatar.as_deref(),
        username: &order.giver.name,
        gift_image: &order.gift.image,
        gift_name: &order.gift.name,
        num: order.count.get(),
        id: receipt.record_id.get(),
        user: User::from(&*order.giver),
        gift_id: order.gift.id.get(),
        gift_coin: order.gift.price.get(),
        live_id: order.live_id.get(),
        live_coin: receipt.live_coin.get(),
        at: receipt.at.0,
        epoch,
        offset,
    }
}

#[derive(Serialize)]
struct LiveBody<'a> {
    live_id: i64,
    status: i16,
    title: &'a str,
    epoch: &'a str,
    offset: Offset,
}

#[derive(Serialize)]
struct RemovedBody<'a> {
    live_id: i64,
    /// Text, as in the comment.
    id: String,
    epoch: &'a str,
    offset: Offset,
}

#[derive(Serialize)]
struct NoticeBody<'a> {
    live_id: i64,
    text: &'a str,
    epoch: &'a str,
    offset: Offset,
}

#[derive(Serialize)]
struct OnlineBody<'a> {
    clients: Vec<&'a str>,
    action: &'a str,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<User<'a>>>,
    count: usize,
    live_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{CommentId, CommentText, LiveStatus, UserId};

    #[test]
    fn both_dialects_wrap_the_same_payload() {
        let live =
            RoomEvent::Live { live_id: LiveId::new(2).unwrap(), status: LiveStatus::Paused, title: "\"午\"".into() };
        let sequenced = Sequenced { epoch: "k3f".into(), offset: 42, event: live };
        let payload = r#"{"live_id":2,"status":2,"title":"\"午\"","epoch":"k3f","offset":42}"#;
        assert_eq!(event_text(Dialect::SocketIo, &sequenced), format!(r#"42["live",{payload}]"#));
        assert_eq!(event_text(Dialect::PlainJson, &sequenced), format!(r#"{{"event":"live","data":{payload}}}"#));
    }

    #[test]
    fn what_operators_do_is_told_with_its_place() {
        let live_id = LiveId::new(2).unwrap();
        let text = |event| event_text(Dialect::PlainJson, &Sequenced { epoch: "k3f".into(), offset: 42, event });
        assert_eq!(
            text(RoomEvent::Removed { live_id, comment_id: CommentId::new(7).unwrap() }),
            r#"{"event":"removed","data":{"live_id":2,"id":"7","epoch":"k3f","offset":42}}"#
        );
        assert_eq!(
            text(RoomEvent::Notice { live_id, text: "午".into() }),
            r#"{"event":"notice","data":{"live_id":2,"text":"午","epoch":"k3f","offset":42}}"#
        );
    }

    #[test]
    fn a_user_without_avatar_has_null_and_one_with_an_empty_keeps_it() {
        let profile = |avatar| Profile { id: UserId::new(5).unwrap(), name: "wei".into(), avatar };
        assert_eq!(json(&User::from(&profile(None))), r#"{"id":5,"name":"wei","avatar":null}"#);
        assert_eq!(json(&User::from(&profile(Some(String::new())))), r#"{"id":5,"name":"wei","avatar":""}"#);
    }

    #[test]
    fn an_echo_is_a_comment_without_a_place() {
        let comment = Comment {
            id: CommentId::new(9).unwrap(),
            live_id: LiveId::new(2).unwrap(),
            author: Arc::new(Profile { id: UserId::new(5).unwrap(), name: "wei".into(), avatar: None }),
            text: CommentText::parse("hi", 200).unwrap(),
            request_id: None,
            at: Timestamp(7),
        };
        assert_eq!(
            echo_text(Dialect::SocketIo, &comment),
            r#"42["comment",{"user":{"id":5,"name":"wei","avatar":null},"content":"hi","id":"9","at":7,"live_id":2}]"#
        );
    }

    #[test]
    fn a_rate_says_how_many_of_how_many() {
        let rate = CrowdRate { shown: 40, total: 312 };
        assert_eq!(
            rate_text(Dialect::PlainJson, LiveId::new(2).unwrap(), rate),
            r#"{"event":"rate","data":{"live_id":2,"shown":40,"total":312}}"#
        );
    }

    #[test]
    fn words_to_one_client() {
        let live_id = LiveId::new(2).unwrap();
        assert_eq!(
            kicked_text(Dialect::SocketIo, live_id, "user_disabled", None),
            r#"42["kicked",{"live_id":2,"code":"user_disabled","until":null}]"#
        );
        assert_eq!(
            kicked_text(Dialect::PlainJson, live_id, "banned", Some(Timestamp(9))),
            r#"{"event":"kicked","data":{"live_id":2,"code":"banned","until":9}}"#
        );
        assert_eq!(fail_text("用户不存在"), r#"{"msg":"fail","data":"用户不存在"}"#);
    }
}
