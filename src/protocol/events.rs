//! The recoverable events on the wire: one serde struct for each kind, and who gets what of it.
//!
//! | reader | form |
//! |---|---|
//! | clients | the struct, then `epoch` and `offset`, under the event's name: [`event_text`] |
//! | history, recovery | the same bytes, kept |
//! | operators | `epoch`, `offset`, `event` and the struct's fields: [`event_fields`] |
//! | nodes | a line: `{"at":ms,"event":name,"body":{the struct},"private":{…}}`: [`write_event`], [`read_event`] |
//!
//! Fields that clients must not get are in a kind's [`Kind::Private`]. The five kinds of the first
//! versions are written in lines of their own ([`first_lines`]) and read in both forms.
//!
//! Nodes of neighbouring versions share a log during a rolling restart, so fields are only ever
//! added and unknown ones are ignored. A *kind* that a node does not know becomes
//! [`RoomEvent::Other`]: the node numbers it, keeps it, gives clients its `body` and other nodes
//! its whole line, as they came.

mod first_lines;
mod modes;
mod pinned;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use modes::ModesEvent;
use pinned::{PinnedBody, PinnedPrivate};

use super::codec::{Dialect, UserBody, json, push_text};
use crate::domain::{
    Coins, Comment, CommentId, CommentText, Gift, GiftCount, GiftId, GiftOrder, GiftReceipt,
    GiftRecordId, HeldComment, LiveId, LiveStatus, Offset, OtherEvent, RequestId, RoomEvent,
    Sequenced, Timestamp,
};

/// Characters in the name of a kind that this version does not know. A longer name is not
/// understood.
const OTHER_NAME_CHARS_MAX: usize = 32;
/// Bytes in the line of a kind that this version does not know. A room keeps up to
/// `rooms.history_events_max` of them; a longer line is not understood.
const OTHER_LINE_BYTES_MAX: usize = 16 * 1024;

/// A recoverable event, as all members get it.
pub fn event_text(dialect: Dialect, sequenced: &Sequenced) -> String {
    encode(&sequenced.event, ClientText { dialect, sequenced })
}

/// A comment as only its sender gets it: it was sampled out, so it has no place.
pub fn echo_text(dialect: Dialect, comment: &Comment) -> String {
    push_text(dialect, CommentBody::NAME, &CommentBody::from(comment))
}

/// A held comment as moderators get it: `held` with `rule` and `expires_ms` if they decide about
/// it, `preview` with `shown_ms` if it is shown without them.
pub fn held_text(dialect: Dialect, held: &HeldComment) -> String {
    #[derive(Serialize)]
    struct Held<'a> {
        live_id: i64,
        comment: CommentBody<'a>,
        rule: &'a str,
        expires_ms: i64,
    }
    #[derive(Serialize)]
    struct Preview<'a> {
        live_id: i64,
        comment: CommentBody<'a>,
        shown_ms: i64,
    }
    let live_id = held.comment.live_id.get();
    let comment = CommentBody::from(&*held.comment);
    if held.rule.is_for_review() {
        let held = Held {
            live_id,
            comment,
            rule: held.rule.name(),
            expires_ms: held.due.0,
        };
        push_text(dialect, "held", &held)
    } else {
        let preview = Preview {
            live_id,
            comment,
            shown_ms: held.due.0,
        };
        push_text(dialect, "preview", &preview)
    }
}

/// A recoverable event, as operators get it: its name as `event`, its place, and what clients get.
pub fn event_fields(sequenced: &Sequenced) -> Map<String, Value> {
    let mut fields = encode(&sequenced.event, OperatorFields);
    fields.insert("epoch".into(), sequenced.epoch.to_string().into());
    fields.insert("offset".into(), sequenced.offset.into());
    fields
}

/// The event as one line of text, for other nodes. `at` is when it was appended; an event that came
/// from another node keeps its own.
pub fn write_event(event: &RoomEvent, at: Timestamp) -> String {
    first_lines::write(event, at).unwrap_or_else(|| encode(event, NodeLine { at }))
}

/// Reads what [`write_event`] wrote, here or in another version; `None` for anything else.
pub fn read_event(text: &str) -> Option<(RoomEvent, Timestamp)> {
    let line: Line = serde_json::from_str(text).ok()?;
    let event = match line.body {
        Some(body) => read_body(&line, body, text)?,
        None => first_lines::read(&line.event, text)?,
    };
    Some((event, Timestamp(line.at)))
}

/// Hands the wire form of an event to an encoder: the one place that names all kinds.
fn encode<E: Encoder>(event: &RoomEvent, encoder: E) -> E::Output {
    match event {
        RoomEvent::Comment(comment) => encoder.kind(
            &CommentBody::from(&**comment),
            &CommentPrivate::from(&**comment),
        ),
        RoomEvent::Gift { order, receipt } => encoder.kind(
            &GiftBody::of(order, receipt),
            &GiftPrivate::of(order, receipt),
        ),
        RoomEvent::Live {
            live_id,
            status,
            title,
        } => encoder.kind(&LiveBody::of(*live_id, *status, title), &NoFields {}),
        RoomEvent::Removed {
            live_id,
            comment_id,
        } => encoder.kind(
            &RemovedBody {
                live_id: live_id.get(),
                id: comment_id.get(),
                ids: Vec::new(),
            },
            &NoFields {},
        ),
        RoomEvent::Purged {
            live_id,
            comment_ids,
        } => encoder.kind(&RemovedBody::of_all(*live_id, comment_ids), &NoFields {}),
        RoomEvent::Notice { live_id, text } => {
            encoder.kind(&NoticeBody::of(*live_id, text), &NoFields {})
        }
        RoomEvent::Pinned { live_id, pin } => {
            encoder.kind(&PinnedBody::of(*live_id, pin), &PinnedPrivate::of(pin))
        }
        RoomEvent::Modes { live_id, changed } => {
            encoder.kind(&ModesEvent::of(*live_id, changed), &NoFields {})
        }
        RoomEvent::Other(other) => encoder.other(other),
    }
}

fn read_body<'a>(line: &Line<'a>, body: &'a RawValue, text: &str) -> Option<RoomEvent> {
    match &*line.event {
        CommentBody::NAME => read_kind::<CommentBody>(line, body),
        GiftBody::NAME => read_kind::<GiftBody>(line, body),
        LiveBody::NAME => read_kind::<LiveBody>(line, body),
        RemovedBody::NAME => read_kind::<RemovedBody>(line, body),
        NoticeBody::NAME => read_kind::<NoticeBody>(line, body),
        PinnedBody::NAME => read_kind::<PinnedBody>(line, body),
        ModesEvent::NAME => read_kind::<ModesEvent>(line, body),
        name => other_event(name, body, text),
    }
}

fn read_kind<'a, K: Kind<'a>>(line: &Line<'a>, body: &'a RawValue) -> Option<RoomEvent> {
    let body: K = serde_json::from_str(body.get()).ok()?;
    let private = serde_json::from_str(line.private.map_or("{}", RawValue::get)).ok()?;
    body.into_event(private)
}

fn other_event(name: &str, body: &RawValue, line: &str) -> Option<RoomEvent> {
    let is_name = !name.is_empty()
        && name.len() <= OTHER_NAME_CHARS_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let fits =
        line.len() <= OTHER_LINE_BYTES_MAX && !line.contains('\n') && body.get().starts_with('{');
    (is_name && fits).then(|| {
        RoomEvent::Other(Arc::new(OtherEvent {
            name: name.into(),
            body: body.get().into(),
            line: line.into(),
        }))
    })
}

/// A kind of event: what clients get of it, without its place.
trait Kind<'a>: Serialize + Deserialize<'a> {
    const NAME: &'static str;
    /// The fields that nodes get beside those of clients.
    type Private: Serialize + Deserialize<'a>;

    /// `None` for what no node writes.
    fn into_event(self, private: Self::Private) -> Option<RoomEvent>;
}

/// One of the forms an event is written in.
trait Encoder {
    type Output;

    fn kind<'a, K: Kind<'a>>(self, body: &K, private: &K::Private) -> Self::Output;
    fn other(self, other: &OtherEvent) -> Self::Output;
}

struct ClientText<'a> {
    dialect: Dialect,
    sequenced: &'a Sequenced,
}

impl Encoder for ClientText<'_> {
    type Output = String;

    fn kind<'a, K: Kind<'a>>(self, body: &K, _private: &K::Private) -> String {
        #[derive(Serialize)]
        struct Placed<'a, B> {
            #[serde(flatten)]
            body: &'a B,
            epoch: &'a str,
            offset: Offset,
        }
        let Sequenced { epoch, offset, .. } = self.sequenced;
        push_text(
            self.dialect,
            K::NAME,
            &Placed {
                body,
                epoch,
                offset: *offset,
            },
        )
    }

    /// The place stands at the end, as in all events; the rest is not touched.
    fn other(self, other: &OtherEvent) -> String {
        #[derive(Serialize)]
        struct Place<'a> {
            epoch: &'a str,
            offset: Offset,
        }
        let Sequenced { epoch, offset, .. } = self.sequenced;
        let place = json(&Place {
            epoch,
            offset: *offset,
        });
        let fields = other.body.strip_suffix('}').unwrap_or("{").trim_end();
        let comma = if fields == "{" { "" } else { "," };
        let body = format!("{fields}{comma}{}", &place[1..]);
        let body = RawValue::from_string(body).expect("an object with two fields more is JSON");
        push_text(self.dialect, &other.name, &body)
    }
}

struct OperatorFields;

impl Encoder for OperatorFields {
    type Output = Map<String, Value>;

    fn kind<'a, K: Kind<'a>>(self, body: &K, _private: &K::Private) -> Self::Output {
        let fields = serde_json::to_value(body)
            .expect("wire structs have string keys and infallible fields");
        named(K::NAME, fields)
    }

    /// A body that is nested too deep to be read is left out.
    fn other(self, other: &OtherEvent) -> Self::Output {
        named(
            &other.name,
            serde_json::from_str(&other.body).unwrap_or_default(),
        )
    }
}

fn named(name: &str, body: Value) -> Map<String, Value> {
    let mut fields = if let Value::Object(fields) = body {
        fields
    } else {
        Map::new()
    };
    fields.insert("event".into(), name.into());
    fields
}

struct NodeLine {
    at: Timestamp,
}

impl Encoder for NodeLine {
    type Output = String;

    fn kind<'a, K: Kind<'a>>(self, body: &K, private: &K::Private) -> String {
        #[derive(Serialize)]
        struct Line<'a, B, P> {
            at: i64,
            event: &'a str,
            body: &'a B,
            private: &'a P,
        }
        json(&Line {
            at: self.at.0,
            event: K::NAME,
            body,
            private,
        })
    }

    fn other(self, other: &OtherEvent) -> String {
        other.line.to_string()
    }
}

/// A line as far as all of them are alike. Those of [`first_lines`] have no `body`.
#[derive(Deserialize)]
struct Line<'a> {
    at: i64,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    private: Option<&'a RawValue>,
}

/// Of a kind that keeps nothing from clients.
#[derive(Serialize, Deserialize)]
struct NoFields {}

/// Ids that may exceed what a JavaScript number holds exactly are text.
mod id_text {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<i64, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A comment, as clients get it.
#[derive(Serialize, Deserialize)]
pub(super) struct CommentBody<'a> {
    #[serde(borrow)]
    user: UserBody<'a>,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(with = "id_text")]
    id: i64,
    at: i64,
    live_id: i64,
}

#[derive(Serialize, Deserialize)]
struct CommentPrivate<'a> {
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
}

impl CommentBody<'_> {
    fn into_comment(self, request_id: Option<RequestId>) -> Option<Comment> {
        Some(Comment {
            id: CommentId::new(self.id)?,
            live_id: LiveId::new(self.live_id)?,
            author: self.user.read()?,
            text: CommentText::parse(&self.content, usize::MAX).ok()?,
            request_id,
            at: Timestamp(self.at),
        })
    }
}

impl<'a> From<&'a Comment> for CommentBody<'a> {
    fn from(comment: &'a Comment) -> Self {
        Self {
            user: UserBody::from(&*comment.author),
            content: Cow::from(comment.text.as_str()),
            id: comment.id.get(),
            at: comment.at.0,
            live_id: comment.live_id.get(),
        }
    }
}

impl<'a> From<&'a Comment> for CommentPrivate<'a> {
    fn from(comment: &'a Comment) -> Self {
        Self {
            request_id: comment.request_id.as_ref().map(|id| Cow::from(id.as_str())),
        }
    }
}

impl<'a> Kind<'a> for CommentBody<'a> {
    const NAME: &'static str = "comment";
    type Private = CommentPrivate<'a>;

    fn into_event(self, private: CommentPrivate) -> Option<RoomEvent> {
        let request_id = match private.request_id {
            Some(request_id) => Some(RequestId::parse(&request_id)?),
            None => None,
        };
        let comment = self.into_comment(request_id)?;
        Some(RoomEvent::Comment(Arc::new(comment)))
    }
}

#[derive(Serialize, Deserialize)]
struct GiftBody<'a> {
    avatar: Option<Cow<'a, str>>,
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    gift_image: Cow<'a, str>,
    #[serde(borrow)]
    gift_name: Cow<'a, str>,
    num: i64,
    id: i64,
    #[serde(borrow)]
    user: UserBody<'a>,
    gift_id: i64,
    /// The price of one.
    gift_coin: i64,
    live_id: i64,
    /// The live's total after it.
    live_coin: i64,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct GiftPrivate<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    ordered_at: i64,
    /// Price times count, as debited.
    total: i64,
    /// The giver's balance after it.
    giver_coin: i64,
}

impl<'a> GiftBody<'a> {
    fn of(order: &'a GiftOrder, receipt: &GiftReceipt) -> Self {
        let user = UserBody::from(&*order.giver);
        Self {
            avatar: user.avatar.clone(),
            username: user.name.clone(),
            gift_image: Cow::from(&order.gift.image),
            gift_name: Cow::from(&order.gift.name),
            num: order.count.get(),
            id: receipt.record_id.get(),
            user,
            gift_id: order.gift.id.get(),
            gift_coin: order.gift.price.get(),
            live_id: order.live_id.get(),
            live_coin: receipt.live_coin.get(),
            at: receipt.at.0,
        }
    }
}

impl<'a> GiftPrivate<'a> {
    fn of(order: &'a GiftOrder, receipt: &GiftReceipt) -> Self {
        Self {
            request_id: Cow::from(order.request_id.as_str()),
            ordered_at: order.at.0,
            total: receipt.total.get(),
            giver_coin: receipt.giver_coin.get(),
        }
    }
}

impl<'a> Kind<'a> for GiftBody<'a> {
    const NAME: &'static str = "gift";
    type Private = GiftPrivate<'a>;

    fn into_event(self, private: GiftPrivate) -> Option<RoomEvent> {
        let gift = Gift {
            id: GiftId::new(self.gift_id)?,
            name: self.gift_name.into_owned(),
            image: self.gift_image.into_owned(),
            price: Coins::new(self.gift_coin),
        };
        let order = GiftOrder {
            live_id: LiveId::new(self.live_id)?,
            giver: self.user.read()?,
            gift: Arc::new(gift),
            count: GiftCount::new(self.num)?,
            request_id: RequestId::parse(&private.request_id)?,
            at: Timestamp(private.ordered_at),
        };
        let receipt = GiftReceipt {
            record_id: GiftRecordId::new(self.id)?,
            total: Coins::new(private.total),
            giver_coin: Coins::new(private.giver_coin),
            live_coin: Coins::new(self.live_coin),
            at: Timestamp(self.at),
            duplicate: false,
        };
        Some(RoomEvent::Gift {
            order: Arc::new(order),
            receipt,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct LiveBody<'a> {
    live_id: i64,
    status: i16,
    #[serde(borrow)]
    title: Cow<'a, str>,
}

impl<'a> LiveBody<'a> {
    fn of(live_id: LiveId, status: LiveStatus, title: &'a str) -> Self {
        Self {
            live_id: live_id.get(),
            status: status.code(),
            title: Cow::from(title),
        }
    }
}

impl<'a> Kind<'a> for LiveBody<'a> {
    const NAME: &'static str = "live";
    type Private = NoFields;

    fn into_event(self, _private: NoFields) -> Option<RoomEvent> {
        Some(RoomEvent::Live {
            live_id: LiveId::new(self.live_id)?,
            status: LiveStatus::from_code(self.status)?,
            title: self.title.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RemovedBody {
    live_id: i64,
    /// The comment's; the first of several.
    #[serde(with = "id_text")]
    id: i64,
    /// All of several. A version that does not know them takes down the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<String>,
}

impl RemovedBody {
    fn of_all(live_id: LiveId, comment_ids: &[CommentId]) -> Self {
        Self {
            live_id: live_id.get(),
            id: comment_ids.first().map_or(0, |id| id.get()),
            ids: comment_ids.iter().map(CommentId::to_string).collect(),
        }
    }
}

impl Kind<'_> for RemovedBody {
    const NAME: &'static str = "removed";
    type Private = NoFields;

    fn into_event(self, _private: NoFields) -> Option<RoomEvent> {
        let live_id = LiveId::new(self.live_id)?;
        if self.ids.is_empty() {
            let comment_id = CommentId::new(self.id)?;
            return Some(RoomEvent::Removed {
                live_id,
                comment_id,
            });
        }
        let ids = self.ids.iter().map(|id| CommentId::new(id.parse().ok()?));
        let comment_ids = ids.collect::<Option<_>>()?;
        Some(RoomEvent::Purged {
            live_id,
            comment_ids,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct NoticeBody<'a> {
    live_id: i64,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl<'a> NoticeBody<'a> {
    fn of(live_id: LiveId, text: &'a str) -> Self {
        Self {
            live_id: live_id.get(),
            text: Cow::from(text),
        }
    }
}

impl<'a> Kind<'a> for NoticeBody<'a> {
    const NAME: &'static str = "notice";
    type Private = NoFields;

    fn into_event(self, _private: NoFields) -> Option<RoomEvent> {
        Some(RoomEvent::Notice {
            live_id: LiveId::new(self.live_id)?,
            text: self.text.into(),
        })
    }
}

#[cfg(test)]
mod tests;
