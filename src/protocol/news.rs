//! What is for one member of a room, and has no place in its order.

use serde::Serialize;

use super::codec::{Dialect, push_text};
use super::events::held_text;
use crate::domain::{LiveId, News, ReportedComment};

/// What one member is notified of: that it is muted itself (`until_ms` is `null` if that does not
/// end by itself), that it is not any more, that a role changed, that a comment is held, that
/// one that was held will not be shown, or that comments were reported.
pub fn news_text(dialect: Dialect, live_id: LiveId, news: &News) -> String {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Body<'a> {
        Muted {
            live_id: i64,
            until_ms: Option<i64>,
            reason: Option<&'a str>,
        },
        Unmuted {
            live_id: i64,
        },
        Role {
            live_id: i64,
            user: i64,
            role: &'a str,
        },
        CommentDenied {
            live_id: i64,
            comment_id: String,
            reason: Option<&'a str>,
            expired: bool,
        },
        Reported {
            live_id: i64,
            open: i64,
            comments: Vec<Reported>,
        },
    }
    #[derive(Serialize)]
    struct Reported {
        id: String,
        reports: i64,
    }
    let live_id = live_id.get();
    match news {
        News::Muted { until, reason } => {
            let body = Body::Muted {
                live_id,
                until_ms: until.map(|at| at.0),
                reason: reason.as_deref(),
            };
            push_text(dialect, "muted", &body)
        }
        News::Unmuted => push_text(dialect, "unmuted", &Body::Unmuted { live_id }),
        News::Role { user, role } => {
            let body = Body::Role {
                live_id,
                user: user.get(),
                role: role.name(),
            };
            push_text(dialect, "role", &body)
        }
        News::Held(held) => held_text(dialect, held),
        News::CommentDenied(denial) => {
            let body = Body::CommentDenied {
                live_id,
                comment_id: denial.comment_id.to_string(),
                reason: denial.reason.as_deref(),
                expired: denial.is_expired,
            };
            push_text(dialect, "comment_denied", &body)
        }
        News::Reported { open, comments } => {
            let reported = |comment: &ReportedComment| Reported {
                id: comment.comment_id.to_string(),
                reports: comment.reports,
            };
            let body = Body::Reported {
                live_id,
                open: *open,
                comments: comments.iter().map(reported).collect(),
            };
            push_text(dialect, "reported", &body)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        Comment, CommentId, CommentText, Denial, HeldComment, HoldRule, Profile, Role, Timestamp,
        UserId,
    };

    #[test]
    fn each_of_the_news_has_its_event() {
        let live_id = LiveId::new(2).unwrap();
        let news = |news| news_text(Dialect::PlainJson, live_id, &news);
        assert_eq!(
            news(News::Muted {
                until: Some(Timestamp(9)),
                reason: None
            }),
            r#"{"event":"muted","data":{"live_id":2,"until_ms":9,"reason":null}}"#
        );
        assert_eq!(
            news(News::Unmuted),
            r#"{"event":"unmuted","data":{"live_id":2}}"#
        );
        let (user, role) = (UserId::FIRST, Role::Moderator);
        assert_eq!(
            news(News::Role { user, role }),
            r#"{"event":"role","data":{"live_id":2,"user":1,"role":"moderator"}}"#
        );
        let reported = ReportedComment {
            comment_id: CommentId::FIRST,
            reports: 2,
        };
        assert_eq!(
            news(News::Reported {
                open: 3,
                comments: [reported].into(),
            }),
            r#"{"event":"reported","data":{"live_id":2,"open":3,"comments":[{"id":"1","reports":2}]}}"#
        );
        let held = |rule| {
            let comment = Comment {
                id: CommentId::new(7).unwrap(),
                live_id,
                author: Arc::new(Profile {
                    id: UserId::FIRST,
                    name: "a".into(),
                    avatar: None,
                }),
                text: CommentText::parse("hi", 200).unwrap(),
                request_id: None,
                at: Timestamp(3),
            };
            News::Held(Arc::new(HeldComment {
                comment: Arc::new(comment),
                rule,
                due: Timestamp(9),
            }))
        };
        let comment = r#"{"user":{"id":1,"name":"a","avatar":null},"content":"hi","id":"7","at":3,"live_id":2}"#;
        assert_eq!(
            news(held(HoldRule::Term)),
            format!(
                r#"{{"event":"held","data":{{"live_id":2,"comment":{comment},"rule":"term","expires_ms":9}}}}"#
            )
        );
        assert_eq!(
            news(held(HoldRule::Delay)),
            format!(
                r#"{{"event":"preview","data":{{"live_id":2,"comment":{comment},"shown_ms":9}}}}"#
            )
        );
        let denied = Denial {
            comment_id: CommentId::new(7).unwrap(),
            author: UserId::FIRST,
            reason: Some("rude".into()),
            is_expired: false,
        };
        assert_eq!(
            news(News::CommentDenied(denied)),
            r#"{"event":"comment_denied","data":{"live_id":2,"comment_id":"7","reason":"rude","expired":false}}"#
        );
    }
}
