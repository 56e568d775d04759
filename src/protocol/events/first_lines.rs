//! The lines of the five kinds that the first versions of this program write, and cannot read in
//! any other form: `at`, `event`, then fields in names of their own.
//!
//! Frozen byte for byte, recorded in `tests/node_lines`. New kinds have no line here. A version
//! that need not run beside those any more writes these five like all others and drops this file.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::super::codec::{UserBody, json};
use super::{
    CommentBody, CommentPrivate, GiftBody, GiftPrivate, Kind, LiveBody, NoFields, NoticeBody,
    RemovedBody,
};
use crate::domain::{RoomEvent, Timestamp};

/// `None` for kinds that the first versions do not know.
pub(super) fn write(event: &RoomEvent, at: Timestamp) -> Option<String> {
    Some(match event {
        RoomEvent::Comment(comment) => line(
            at,
            CommentBody::NAME,
            &CommentLine::of((&**comment).into(), (&**comment).into()),
        ),
        RoomEvent::Gift { order, receipt } => line(
            at,
            GiftBody::NAME,
            &GiftLine::of(
                GiftBody::of(order, receipt),
                GiftPrivate::of(order, receipt),
            ),
        ),
        RoomEvent::Live {
            live_id,
            status,
            title,
        } => line(at, LiveBody::NAME, &LiveBody::of(*live_id, *status, title)),
        RoomEvent::Removed {
            live_id,
            comment_id,
        } => line(
            at,
            RemovedBody::NAME,
            &RemovedLine {
                live_id: live_id.get(),
                comment_id: comment_id.get(),
            },
        ),
        RoomEvent::Notice { live_id, text } => {
            line(at, NoticeBody::NAME, &NoticeBody::of(*live_id, text))
        }
        _ => return None,
    })
}

/// `None` for what the first versions do not write.
pub(super) fn read(name: &str, text: &str) -> Option<RoomEvent> {
    match name {
        CommentBody::NAME => {
            let (body, private) = parse::<CommentLine>(text)?.parts();
            body.into_event(private)
        }
        GiftBody::NAME => {
            let (body, private) = parse::<GiftLine>(text)?.parts();
            body.into_event(private)
        }
        LiveBody::NAME => parse::<LiveBody>(text)?.into_event(NoFields {}),
        RemovedBody::NAME => {
            let RemovedLine {
                live_id,
                comment_id,
            } = parse(text)?;
            RemovedBody {
                live_id,
                id: comment_id,
                ids: Vec::new(),
            }
            .into_event(NoFields {})
        }
        NoticeBody::NAME => parse::<NoticeBody>(text)?.into_event(NoFields {}),
        _ => None,
    }
}

fn line(at: Timestamp, event: &str, fields: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Line<'a, F> {
        at: i64,
        event: &'a str,
        #[serde(flatten)]
        fields: &'a F,
    }
    json(&Line {
        at: at.0,
        event,
        fields,
    })
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

#[derive(Serialize, Deserialize)]
struct CommentLine<'a> {
    id: i64,
    live_id: i64,
    #[serde(borrow)]
    author: UserBody<'a>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    posted_at: i64,
}

impl<'a> CommentLine<'a> {
    fn of(body: CommentBody<'a>, private: CommentPrivate<'a>) -> Self {
        let CommentBody {
            user: author,
            content: text,
            id,
            at: posted_at,
            live_id,
        } = body;
        Self {
            id,
            live_id,
            author,
            text,
            request_id: private.request_id,
            posted_at,
        }
    }

    fn parts(self) -> (CommentBody<'a>, CommentPrivate<'a>) {
        let Self {
            id,
            live_id,
            author: user,
            text: content,
            request_id,
            posted_at: at,
        } = self;
        (
            CommentBody {
                user,
                content,
                id,
                at,
                live_id,
            },
            CommentPrivate { request_id },
        )
    }
}

#[derive(Serialize, Deserialize)]
struct GiftLine<'a> {
    live_id: i64,
    #[serde(borrow)]
    giver: UserBody<'a>,
    gift_id: i64,
    #[serde(borrow)]
    gift_name: Cow<'a, str>,
    #[serde(borrow)]
    gift_image: Cow<'a, str>,
    price: i64,
    count: i64,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    ordered_at: i64,
    record_id: i64,
    total: i64,
    giver_coin: i64,
    live_coin: i64,
    given_at: i64,
}

impl<'a> GiftLine<'a> {
    fn of(body: GiftBody<'a>, private: GiftPrivate<'a>) -> Self {
        let GiftPrivate {
            request_id,
            ordered_at,
            total,
            giver_coin,
        } = private;
        Self {
            live_id: body.live_id,
            giver: body.user,
            gift_id: body.gift_id,
            gift_name: body.gift_name,
            gift_image: body.gift_image,
            price: body.gift_coin,
            count: body.num,
            request_id,
            ordered_at,
            record_id: body.id,
            total,
            giver_coin,
            live_coin: body.live_coin,
            given_at: body.at,
        }
    }

    fn parts(self) -> (GiftBody<'a>, GiftPrivate<'a>) {
        let Self {
            request_id,
            ordered_at,
            total,
            giver_coin,
            ..
        } = self;
        let body = GiftBody {
            avatar: self.giver.avatar.clone(),
            username: self.giver.name.clone(),
            gift_image: self.gift_image,
            gift_name: self.gift_name,
            num: self.count,
            id: self.record_id,
            user: self.giver,
            gift_id: self.gift_id,
            gift_coin: self.price,
            live_id: self.live_id,
            live_coin: self.live_coin,
            at: self.given_at,
        };
        (
            body,
            GiftPrivate {
                request_id,
                ordered_at,
                total,
                giver_coin,
            },
        )
    }
}

#[derive(Serialize, Deserialize)]
struct RemovedLine {
    live_id: i64,
    comment_id: i64,
}
