//! Answers to one command, each exactly once.
//!
//! | | with an ack | without |
//! |---|---|---|
//! | Socket.IO, accepted | `43<ack>[{"ok":true,…}]` | nothing; of a comment that is held for review what a refusal is |
//! | Socket.IO, refused | `43<ack>[{"ok":false,…}]` | an event named by the socket id, as the replaced system does |
//! | plain JSON, accepted | `{"id":…,"ok":true,…}` | the same |
//! | plain JSON, refused | `{"id":…,"ok":false,…}` | `{"event":"error","data":{…}}` |

use serde::Serialize;

use super::codec::{ActorBody, Dialect, json, push_text};
use super::events::CommentBody;
use super::modes::{ChangedModesBody, ModesBody};
use super::refusal::Refusal;
use crate::domain::{
    AckId, CommentText, Offset, Outcome, Reject, Reply, Sanction, SocketId, Timestamp,
};

/// The answer to a command, or `None` where silence is the answer. `now` is what the event named
/// by the socket id says, `socket_id` the asker's.
pub fn reply_text(
    dialect: Dialect,
    socket_id: &SocketId,
    ack: &AckId,
    result: &Result<Reply, Reject>,
    now: Timestamp,
) -> Option<String> {
    match result {
        Ok(reply) => acked(dialect, ack, &Accepted::from(reply)).or_else(|| match reply {
            // Who waits for no answer would wait for the comment.
            Reply::Held { delay_ms: None, .. } => {
                Some(refused_unasked(dialect, socket_id, &Refusal::held(), now))
            }
            _ => None,
        }),
        Err(reject) => {
            let refusal = Refusal::from(*reject);
            Some(
                match acked(
                    dialect,
                    ack,
                    &RefusedBody {
                        ok: false,
                        refusal: &refusal,
                    },
                ) {
                    Some(text) => text,
                    None => refused_unasked(dialect, socket_id, &refusal, now),
                },
            )
        }
    }
}

/// The good answer to a command without a result: `auth`.
pub fn done_text(dialect: Dialect, ack: &AckId) -> Option<String> {
    #[derive(Serialize)]
    struct Done {
        ok: bool,
    }
    acked(dialect, ack, &Done { ok: true })
}

/// The good answer to an action on a user's standing or comments, or on modes.
pub fn outcome_text(dialect: Dialect, ack: &AckId, outcome: &Outcome) -> Option<String> {
    #[derive(Serialize)]
    struct Done<'a> {
        ok: bool,
        #[serde(flatten)]
        outcome: OutcomeBody<'a>,
    }
    acked(
        dialect,
        ack,
        &Done {
            ok: true,
            outcome: outcome.into(),
        },
    )
}

/// The result of such an action, as socket and HTTP clients get it.
#[derive(Serialize)]
#[serde(untagged)]
pub enum OutcomeBody<'a> {
    Sanctioned(SanctionBody<'a>),
    Lifted {
        /// Of the same kind, and not the actor's to lift.
        remaining: Vec<SanctionBody<'a>>,
    },
    Moderator {
        moderator: bool,
    },
    Modes(ChangedModesBody),
    TakenDown {
        removed: usize,
    },
    Restored {
        restored: usize,
    },
    Reviewed {
        comment_id: String,
        approved: bool,
    },
}

impl<'a> From<&'a Outcome> for OutcomeBody<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Sanctioned(sanction) => Self::Sanctioned(sanction.into()),
            Outcome::Lifted { remaining } => Self::Lifted {
                remaining: remaining.iter().map(Into::into).collect(),
            },
            Outcome::Moderator(moderator) => Self::Moderator {
                moderator: *moderator,
            },
            Outcome::Modes(changed) => Self::Modes(changed.into()),
            Outcome::TakenDown(removed) => Self::TakenDown { removed: *removed },
            Outcome::Restored(restored) => Self::Restored {
                restored: *restored,
            },
            Outcome::Reviewed {
                comment_id,
                approved,
            } => Self::Reviewed {
                comment_id: comment_id.to_string(),
                approved: *approved,
            },
        }
    }
}

/// A sanction, as those get it who may give one.
#[derive(Serialize)]
pub struct SanctionBody<'a> {
    pub sanction_id: i64,
    pub kind: &'a str,
    pub scope: &'a str,
    /// `null`: it does not end by itself.
    pub until_ms: Option<i64>,
    pub gifts: bool,
    pub reason: Option<&'a str>,
    /// `operator`, or the user who gave it.
    pub by: ActorBody,
    pub since_ms: i64,
}

impl<'a> From<&'a Sanction> for SanctionBody<'a> {
    fn from(sanction: &'a Sanction) -> Self {
        Self {
            sanction_id: sanction.id.get(),
            kind: sanction.kind.name(),
            scope: sanction.scope.name(),
            until_ms: sanction.until.map(|until| until.0),
            gifts: sanction.gifts,
            reason: sanction.reason.as_deref(),
            by: sanction.by.into(),
            since_ms: sanction.since.0,
        }
    }
}

/// The client's name for its command, as it came.
#[derive(Serialize)]
#[serde(untagged)]
enum AckName<'a> {
    Number(i64),
    Text(&'a str),
}

/// An answer under the name the client gave it, if it gave one that its dialect has.
fn acked(dialect: Dialect, ack: &AckId, answer: &impl Serialize) -> Option<String> {
    #[derive(Serialize)]
    struct Named<'a, T> {
        id: AckName<'a>,
        #[serde(flatten)]
        answer: &'a T,
    }
    let name = match ack {
        AckId::None => return None,
        AckId::Number(number) => AckName::Number(*number),
        AckId::Text(text) => AckName::Text(text),
    };
    match (dialect, name) {
        (Dialect::SocketIo, AckName::Number(number)) => {
            Some(format!("43{number}{}", json(&[answer])))
        }
        (Dialect::SocketIo, AckName::Text(_)) => None,
        (Dialect::PlainJson, id) => Some(json(&Named { id, answer })),
    }
}

fn refused_unasked(
    dialect: Dialect,
    socket_id: &SocketId,
    refusal: &Refusal,
    now: Timestamp,
) -> String {
    #[derive(Serialize)]
    struct Named<'a> {
        meta: Meta,
        data: Data<'a>,
    }
    #[derive(Serialize)]
    struct Meta {
        timestamp: i64,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        action: &'a str,
        payload: &'a str,
    }
    match dialect {
        Dialect::SocketIo => {
            let data = Data {
                action: "error",
                payload: &refusal.message,
            };
            push_text(
                dialect,
                socket_id,
                &Named {
                    meta: Meta { timestamp: now.0 },
                    data,
                },
            )
        }
        Dialect::PlainJson => push_text(dialect, "error", refusal),
    }
}

#[derive(Serialize)]
struct RefusedBody<'a> {
    ok: bool,
    #[serde(flatten)]
    refusal: &'a Refusal,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Accepted<'a> {
    Joined {
        ok: bool,
        live_id: i64,
        epoch: &'a str,
        offset: Offset,
        recovered: bool,
        count: usize,
        live: LiveSummary<'a>,
        role: &'a str,
        /// Absent if there are none.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        moderators: Vec<i64>,
        /// Absent if nothing is pinned.
        #[serde(skip_serializing_if = "Option::is_none")]
        pinned: Option<Box<CommentBody<'a>>>,
        modes: ModesBody,
    },
    Left {
        ok: bool,
        live_id: i64,
    },
    Commented {
        ok: bool,
        comment_id: String,
        offset: Option<Offset>,
        status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
    },
    SampledOut {
        ok: bool,
        comment_id: String,
        status: &'a str,
    },
    Held {
        ok: bool,
        comment_id: String,
        status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        delay_ms: Option<i64>,
    },
    Gifted {
        ok: bool,
        gift_record_id: i64,
        offset: Option<Offset>,
        coin: i64,
    },
}

#[derive(Serialize)]
struct LiveSummary<'a> {
    title: &'a str,
    status: i16,
    coin: i64,
    look_count: i64,
}

impl<'a> From<&'a Reply> for Accepted<'a> {
    fn from(reply: &'a Reply) -> Self {
        let ok = true;
        match reply {
            Reply::Joined {
                position,
                recovered,
                count,
                live,
                role,
                moderators,
                pinned,
                modes,
            } => Accepted::Joined {
                ok,
                live_id: live.id.get(),
                epoch: &position.epoch,
                offset: position.offset,
                recovered: *recovered,
                count: *count,
                live: LiveSummary {
                    title: &live.title,
                    status: live.status.code(),
                    coin: live.coin.get(),
                    look_count: live.look_count,
                },
                role: role.name(),
                moderators: moderators.iter().map(|user| user.get()).collect(),
                pinned: pinned
                    .as_deref()
                    .map(|comment| Box::new(CommentBody::from(comment))),
                modes: modes.into(),
            },
            Reply::Left { live_id } => Accepted::Left {
                ok,
                live_id: live_id.get(),
            },
            Reply::Commented {
                comment_id,
                offset,
                shown,
            } => Accepted::Commented {
                ok,
                comment_id: comment_id.get().to_string(),
                offset: *offset,
                status: "delivered",
                text: shown.as_ref().map(CommentText::as_str),
            },
            Reply::SampledOut { comment_id } => Accepted::SampledOut {
                ok,
                comment_id: comment_id.get().to_string(),
                status: "sampled_out",
            },
            Reply::Held {
                comment_id,
                delay_ms,
            } => Accepted::Held {
                ok,
                comment_id: comment_id.get().to_string(),
                status: "held",
                delay_ms: *delay_ms,
            },
            Reply::Gifted {
                record_id,
                offset,
                coin,
            } => Accepted::Gifted {
                ok,
                gift_record_id: record_id.get(),
                offset: *offset,
                coin: coin.get(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        Coins, CommentId, GiftRecordId, Live, LiveId, LiveStatus, Modes, Position, Role, UserId,
    };

    const NOW: Timestamp = Timestamp(1_795_294_582_778);

    fn said(dialect: Dialect, ack: AckId, result: Result<Reply, Reject>) -> Option<String> {
        reply_text(dialect, &"93hUWfxJSj6tfaPMAAAC".into(), &ack, &result, NOW)
    }

    fn joined() -> Reply {
        let live = Live {
            id: LiveId::new(2).unwrap(),
            owner: UserId::new(1).unwrap(),
            title: "t".into(),
            status: LiveStatus::OnAir,
            coin: Coins::new(30),
            look_count: 4,
        };
        let position = Position {
            epoch: "k3f".into(),
            offset: 41,
        };
        Reply::Joined {
            position,
            recovered: false,
            count: 2,
            live: Box::new(live),
            role: Role::Viewer,
            moderators: Arc::new([]),
            pinned: None,
            modes: Modes::default(),
        }
    }

    #[test]
    fn each_command_has_its_good_answer() {
        let comment_id = CommentId::new(1_795_294_582_778_001).unwrap();
        let record_id = GiftRecordId::new(9).unwrap();
        for (reply, body) in [
            (
                joined(),
                r#"{"ok":true,"live_id":2,"epoch":"k3f","offset":41,"recovered":false,"count":2,"live":{"title":"t","status":1,"coin":30,"look_count":4},"role":"viewer","modes":{"slow_s":0,"followers_min":-1,"gifters_coins":0,"frozen":false,"gifts_paused":false,"unique_s":0,"mod_delay_s":0,"shield":false}}"#,
            ),
            (
                Reply::Left {
                    live_id: LiveId::new(2).unwrap(),
                },
                r#"{"ok":true,"live_id":2}"#,
            ),
            (
                Reply::Commented {
                    comment_id,
                    offset: Some(42),
                    shown: None,
                },
                r#"{"ok":true,"comment_id":"1795294582778001","offset":42,"status":"delivered"}"#,
            ),
            (
                Reply::Commented {
                    comment_id,
                    offset: Some(42),
                    shown: CommentText::parse("你个**", 200).ok(),
                },
                r#"{"ok":true,"comment_id":"1795294582778001","offset":42,"status":"delivered","text":"你个**"}"#,
            ),
            (
                Reply::SampledOut { comment_id },
                r#"{"ok":true,"comment_id":"1795294582778001","status":"sampled_out"}"#,
            ),
            (
                Reply::Gifted {
                    record_id,
                    offset: None,
                    coin: Coins::new(90),
                },
                r#"{"ok":true,"gift_record_id":9,"offset":null,"coin":90}"#,
            ),
        ] {
            let plain = format!(r#"{{"id":"c",{}"#, &body[1..]);
            assert_eq!(
                said(Dialect::SocketIo, AckId::Number(0), Ok(reply.clone())),
                Some(format!("430[{body}]"))
            );
            assert_eq!(
                said(
                    Dialect::PlainJson,
                    AckId::Text("c".into()),
                    Ok(reply.clone())
                ),
                Some(plain)
            );
            assert_eq!(
                said(Dialect::SocketIo, AckId::None, Ok(reply.clone())),
                None
            );
            assert_eq!(said(Dialect::PlainJson, AckId::None, Ok(reply)), None);
        }
        assert_eq!(
            done_text(Dialect::PlainJson, &AckId::Number(-1)).as_deref(),
            Some(r#"{"id":-1,"ok":true}"#)
        );
    }

    #[test]
    fn a_refusal_is_said_whether_or_not_somebody_waits() {
        let poor = Reject::CoinsInsufficient;
        let busy = Reject::BUSY;
        for (dialect, ack, reject, expected) in [
            (
                Dialect::SocketIo,
                AckId::Number(7),
                poor,
                r#"437[{"ok":false,"code":"coins_insufficient","message":"金币不足，请先充值"}]"#,
            ),
            (
                Dialect::SocketIo,
                AckId::None,
                poor,
                r#"42["93hUWfxJSj6tfaPMAAAC",{"meta":{"timestamp":1795294582778},"data":{"action":"error","payload":"金币不足，请先充值"}}]"#,
            ),
            (
                Dialect::PlainJson,
                AckId::Number(3),
                poor,
                r#"{"id":3,"ok":false,"code":"coins_insufficient","message":"金币不足，请先充值"}"#,
            ),
            (
                Dialect::PlainJson,
                AckId::None,
                busy,
                r#"{"event":"error","data":{"code":"busy","message":"系统繁忙，请稍后再试","retry_after_ms":1000}}"#,
            ),
        ] {
            assert_eq!(said(dialect, ack, Err(reject)).as_deref(), Some(expected));
        }
    }
}
