//! What nodes say to each other, as JSON. Both ends are this program, of neighbouring versions during
//! a rolling restart: fields are only ever added, and unknown ones ignored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Coins, Comment, CommentId, CommentText, Gift, GiftCount, GiftId, GiftOrder, GiftReceipt, GiftRecordId, LiveId,
    LiveStatus, PeerUser, Profile, RequestId, RoomEvent, Timestamp, UserId,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireUser {
    id: i64,
    name: String,
    avatar: Option<String>,
}

impl From<&Profile> for WireUser {
    fn from(profile: &Profile) -> Self {
        Self { id: profile.id.get(), name: profile.name.clone(), avatar: profile.avatar.clone() }
    }
}

impl WireUser {
    fn read(self) -> Option<Arc<Profile>> {
        Some(Arc::new(Profile { id: UserId::new(self.id)?, name: self.name, avatar: self.avatar }))
    }
}

/// A user as a node shows it; without `sockets`: it shows it no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WirePeer {
    #[serde(flatten)]
    user: WireUser,
    sockets: Option<Vec<String>>,
    at: i64,
}

impl WirePeer {
    pub fn present(user: &PeerUser) -> Self {
        let sockets = user.sockets.iter().map(ToString::to_string).collect();
        Self { user: user.profile.as_ref().into(), sockets: Some(sockets), at: user.arrived_at.0 }
    }

    pub fn absent(user: UserId) -> Self {
        let user = WireUser { id: user.get(), name: String::new(), avatar: None };
        Self { user, sockets: None, at: 0 }
    }

    /// The user, or the id of one that is gone; `None` for what no node of ours writes.
    pub fn read(self) -> Option<Result<PeerUser, UserId>> {
        let Some(sockets) = self.sockets else { return UserId::new(self.user.id).map(Err) };
        let sockets = sockets.into_iter().map(Arc::from).collect();
        Some(Ok(PeerUser { profile: self.user.read()?, sockets, arrived_at: Timestamp(self.at) }))
    }
}

/// A room event. `at` of the envelope is when it was told, for the age of what is recovered.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireEvent {
    pub at: i64,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Kind {
    Comment { id: i64, live_id: i64, author: WireUser, text: String, request_id: Option<String>, posted_at: i64 },
    Gift(Box<WireGift>),
    Live { live_id: i64, status: i16, title: String },
    Removed { live_id: i64, comment_id: i64 },
    Notice { live_id: i64, text: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct WireGift {
    live_id: i64,
    giver: WireUser,
    gift_id: i64,
    gift_name: String,
    gift_image: String,
    price: i64,
    count: i64,
    request_id: String,
    ordered_at: i64,
    record_id: i64,
    total: i64,
    giver_coin: i64,
    live_coin: i64,
    given_at: i64,
}

/// The event as one line of text.
pub fn write_event(event: &RoomEvent, at: Timestamp) -> String {
    let kind = match event {
        RoomEvent::Comment(comment) => Kind::Comment {
            id: comment.id.get(),
            live_id: comment.live_id.get(),
            author: comment.author.as_ref().into(),
            text: comment.text.as_str().to_owned(),
            request_id: comment.request_id.as_ref().map(ToString::to_string),
            posted_at: comment.at.0,
        },
        RoomEvent::Gift { order, receipt } => Kind::Gift(Box::new(WireGift {
            live_id: order.live_id.get(),
            giver: order.giver.as_ref().into(),
            gift_id: order.gift.id.get(),
            gift_name: order.gift.name.clone(),
            gift_image: order.gift.image.clone(),
            price: order.gift.price.get(),
            count: order.count.get(),
            request_id: order.request_id.to_string(),
            ordered_at: order.at.0,
            record_id: receipt.record_id.get(),
            total: receipt.total.get(),
            giver_coin: receipt.giver_coin.get(),
            live_coin: receipt.live_coin.get(),
            given_at: receipt.at.0,
        })),
        RoomEvent::Live { live_id, status, title } => {
            Kind::Live { live_id: live_id.get(), status: status.code(), title: title.to_string() }
        }
        RoomEvent::Removed { live_id, comment_id } => {
            Kind::Removed { live_id: live_id.get(), comment_id: comment_id.get() }
        }
        RoomEvent::Notice { live_id, text } => Kind::Notice { live_id: live_id.get(), text: text.to_string() },
    };
    serde_json::to_string(&WireEvent { at: at.0, kind }).expect("strings and numbers are JSON")
}

/// Reads what [`write_event`] wrote; `None` for anything else.
pub fn read_event(line: &str) -> Option<(RoomEvent, Timestamp)> {
    let WireEvent { at, kind } = serde_json::from_str(line).ok()?;
    let event = match kind {
        Kind::Comment { id, live_id, author, text, request_id, posted_at } => RoomEvent::Comment(Arc::new(Comment {
            id: CommentId::new(id)?,
            live_id: LiveId::new(live_id)?,
            author: author.read()?,
            text: CommentText::parse(&text, usize::MAX).ok()?,
            request_id: match request_id {
                Some(request_id) => Some(RequestId::parse(&request_id)?),
                None => None,
            },
            at: Timestamp(posted_at),
        })),
        Kind::Gift(gift) => read_gift(*gift)?,
        Kind::Live { live_id, status, title } => RoomEvent::Live {
            live_id: LiveId::new(live_id)?,
            status: LiveStatus::from_code(status)?,
            title: title.into(),
        },
        Kind::Removed { live_id, comment_id } => {
            RoomEvent::Removed { live_id: LiveId::new(live_id)?, comment_id: CommentId::new(comment_id)? }
        }
        Kind::Notice { live_id, text } => RoomEvent::Notice { live_id: LiveId::new(live_id)?, text: text.into() },
    };
    Some((event, Timestamp(at)))
}

fn read_gift(wire: WireGift) -> Option<RoomEvent> {
    let gift = Gift {
        id: GiftId::new(wire.gift_id)?,
        name: wire.gift_name,
        image: wire.gift_image,
        price: Coins::new(wire.price),
    };
    let order = GiftOrder {
        live_id: LiveId::new(wire.live_id)?,
        giver: wire.giver.read()?,
        gift: Arc::new(gift),
        count: GiftCount::new(wire.count)?,
        request_id: RequestId::parse(&wire.request_id)?,
        at: Timestamp(wire.ordered_at),
    };
    let receipt = GiftReceipt {
        record_id: GiftRecordId::new(wire.record_id)?,
        total: Coins::new(wire.total),
        giver_coin: Coins::new(wire.giver_coin),
        live_coin: Coins::new(wire.live_coin),
        at: Timestamp(wire.given_at),
        duplicate: false,
    };
    Some(RoomEvent::Gift { order: Arc::new(order), receipt })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Arc<Profile> {
        Arc::new(Profile { id: UserId::FIRST, name: "小明".into(), avatar: None })
    }

    fn assert_survives(event: RoomEvent) {
        let line = write_event(&event, Timestamp(77));
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(read_event(&line), Some((event, Timestamp(77))));
    }

    #[test]
    fn every_event_reads_as_it_was_written() {
        let live_id = LiveId::FIRST;
        let text = CommentText::parse("hello\n世界 \u{2028}\"", 200).unwrap();
        let request_id = RequestId::parse("c-1");
        let comment = Comment { id: CommentId::FIRST, live_id, author: profile(), text, request_id, at: Timestamp(5) };
        assert_survives(RoomEvent::Comment(Arc::new(comment.clone())));
        assert_survives(RoomEvent::Comment(Arc::new(Comment { request_id: None, ..comment })));
        let gift = Gift { id: GiftId::FIRST, name: "小花".into(), image: "/f.png".into(), price: Coins::new(3) };
        let order = GiftOrder {
            live_id,
            giver: profile(),
            gift: Arc::new(gift),
            count: GiftCount::new(7).unwrap(),
            request_id: RequestId::parse("g-1").unwrap(),
            at: Timestamp(6),
        };
        let receipt = GiftReceipt {
            record_id: GiftRecordId::FIRST,
            total: Coins::new(21),
            giver_coin: Coins::new(4),
            live_coin: Coins::new(210),
            at: Timestamp(7),
            duplicate: false,
        };
        assert_survives(RoomEvent::Gift { order: Arc::new(order), receipt });
        assert_survives(RoomEvent::Live { live_id, status: LiveStatus::Ended, title: "t".into() });
        assert_survives(RoomEvent::Removed { live_id, comment_id: CommentId::FIRST });
        assert_survives(RoomEvent::Notice { live_id, text: "n".into() });
    }

    #[test]
    fn what_no_node_writes_is_nothing() {
        for line in ["", "{}", "null", r#"{"at":1,"event":"notice","live_id":0,"text":"x"}"#] {
            assert_eq!(read_event(line), None, "{line}");
        }
    }

    #[test]
    fn peers_read_as_they_were_written() {
        let user = PeerUser { profile: profile(), sockets: vec!["a".into(), "b".into()], arrived_at: Timestamp(9) };
        assert_eq!(WirePeer::present(&user).read(), Some(Ok(user)));
        assert_eq!(WirePeer::absent(UserId::FIRST).read(), Some(Err(UserId::FIRST)));
    }
}
