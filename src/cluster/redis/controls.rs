//! Controls as nodes write them. Fields are only ever added, and unknown ones ignored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Comment, CommentId, Control, Denial, HeldComment, HoldRule, Principal, ReportedComment,
    ReportsChange, RoomEvent, Sanction, SanctionId, SanctionKind, SanctionScope, Standing,
    Timestamp, UserId,
};
use crate::protocol::{read_event, write_event};

#[derive(Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
enum ControlLine {
    Kick {
        user: i64,
        at: i64,
    },
    Standing {
        version: u64,
        user: i64,
        moderator: bool,
        sanctions: Vec<SanctionLine>,
    },
    Held {
        /// The line of the comment as an event.
        comment: String,
        rule: String,
        due: i64,
    },
    Denied {
        comment: i64,
        author: i64,
        reason: Option<String>,
        expired: bool,
    },
    /// The name is that of the first version: never change it.
    #[serde(rename = "queue")]
    Reports {
        comment: i64,
        reports: i64,
        open: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct SanctionLine {
    id: i64,
    kind: String,
    scope: String,
    until: Option<i64>,
    gifts: bool,
    reason: Option<String>,
    /// `None`: an operator.
    by: Option<i64>,
    since: i64,
}

impl From<&Sanction> for SanctionLine {
    fn from(sanction: &Sanction) -> Self {
        Self {
            id: sanction.id.get(),
            kind: sanction.kind.name().to_owned(),
            scope: sanction.scope.name().to_owned(),
            until: sanction.until.map(|until| until.0),
            gifts: sanction.gifts,
            reason: sanction.reason.as_deref().map(str::to_owned),
            by: match sanction.by {
                Principal::Operator => None,
                Principal::User(user) => Some(user.get()),
            },
            since: sanction.since.0,
        }
    }
}

impl SanctionLine {
    /// `None` for a kind or a scope of a later version.
    fn read(self) -> Option<Sanction> {
        Some(Sanction {
            id: SanctionId::new(self.id)?,
            kind: SanctionKind::from_name(&self.kind)?,
            scope: SanctionScope::from_name(&self.scope)?,
            until: self.until.map(Timestamp),
            gifts: self.gifts,
            reason: self.reason.map(Into::into),
            by: match self.by {
                None => Principal::Operator,
                Some(user) => Principal::User(UserId::new(user)?),
            },
            since: Timestamp(self.since),
        })
    }
}

/// A control as one line of text.
pub fn write_control(control: &Control) -> String {
    let line = match control {
        Control::Kick { user, at } => ControlLine::Kick {
            user: user.get(),
            at: at.0,
        },
        Control::Standing {
            version,
            user,
            standing,
        } => ControlLine::Standing {
            version: *version,
            user: user.get(),
            moderator: standing.is_moderator,
            sanctions: standing.sanctions.iter().map(Into::into).collect(),
        },
        Control::Held(held) => {
            let comment = RoomEvent::Comment(held.comment.clone());
            ControlLine::Held {
                comment: write_event(&comment, held.comment.at),
                rule: held.rule.name().to_owned(),
                due: held.due.0,
            }
        }
        Control::Denied(denial) => ControlLine::Denied {
            comment: denial.comment_id.get(),
            author: denial.author.get(),
            reason: denial.reason.as_deref().map(str::to_owned),
            expired: denial.is_expired,
        },
        Control::Reports(ReportsChange { comment, open }) => ControlLine::Reports {
            comment: comment.comment_id.get(),
            reports: comment.reports,
            open: *open,
        },
    };
    serde_json::to_string(&line).expect("strings and numbers are JSON")
}

/// Reads a line of [`write_control`]; `None` for anything else, such as a control of a later
/// version.
pub fn read_control(line: &str) -> Option<Control> {
    Some(match serde_json::from_str(line).ok()? {
        ControlLine::Kick { user, at } => Control::Kick {
            user: UserId::new(user)?,
            at: Timestamp(at),
        },
        ControlLine::Reports {
            comment,
            reports,
            open,
        } => Control::Reports(ReportsChange {
            comment: ReportedComment {
                comment_id: CommentId::new(comment)?,
                reports,
            },
            open,
        }),
        ControlLine::Standing {
            version,
            user,
            moderator,
            sanctions,
        } => Control::Standing {
            version,
            user: UserId::new(user)?,
            standing: Standing {
                is_moderator: moderator,
                sanctions: sanctions
                    .into_iter()
                    .filter_map(SanctionLine::read)
                    .collect(),
            },
        },
        ControlLine::Held { comment, rule, due } => Control::Held(Arc::new(HeldComment {
            comment: read_comment(&comment)?,
            rule: HoldRule::from_name(&rule)?,
            due: Timestamp(due),
        })),
        ControlLine::Denied {
            comment,
            author,
            reason,
            expired,
        } => Control::Denied(Denial {
            comment_id: CommentId::new(comment)?,
            author: UserId::new(author)?,
            reason: reason.map(Into::into),
            is_expired: expired,
        }),
    })
}

fn read_comment(line: &str) -> Option<Arc<Comment>> {
    match read_event(line)?.0 {
        RoomEvent::Comment(comment) => Some(comment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CommentText, LiveId, Profile, RequestId};

    #[test]
    fn controls_are_read_as_they_were_written_and_those_of_later_versions_are_not() {
        let sanction = |kind, until, by| Sanction {
            id: SanctionId::FIRST,
            kind,
            scope: SanctionScope::Streamer,
            until,
            gifts: false,
            reason: Some("spam \u{1F600}\n\"".into()),
            by,
            since: Timestamp(7),
        };
        let standing = Standing {
            is_moderator: true,
            sanctions: vec![
                sanction(SanctionKind::Mute, None, Principal::Operator),
                sanction(
                    SanctionKind::Shadow,
                    Some(Timestamp(9)),
                    Principal::User(UserId::FIRST),
                ),
            ],
        };
        let comment = Comment {
            id: CommentId::new(i64::MAX).unwrap(),
            live_id: LiveId::FIRST,
            author: Arc::new(Profile {
                id: UserId::FIRST,
                name: "alice \"\n".into(),
                avatar: None,
            }),
            text: CommentText::parse("http://a.b \u{1F600}\n", 200).unwrap(),
            request_id: RequestId::parse("c-1"),
            at: Timestamp(7),
        };
        let held = HeldComment {
            comment: Arc::new(comment),
            rule: HoldRule::Link,
            due: Timestamp(9),
        };
        let denied = |reason: Option<&str>, is_expired| {
            Control::Denied(Denial {
                comment_id: CommentId::FIRST,
                author: UserId::FIRST,
                reason: reason.map(Into::into),
                is_expired,
            })
        };
        for control in [
            Control::Kick {
                user: UserId::FIRST,
                at: Timestamp(5),
            },
            Control::Held(Arc::new(held)),
            denied(Some("rude"), false),
            denied(None, true),
            Control::Standing {
                version: 3,
                user: UserId::FIRST,
                standing,
            },
            Control::Reports(ReportsChange {
                comment: ReportedComment {
                    comment_id: CommentId::FIRST,
                    reports: 2,
                },
                open: 3,
            }),
        ] {
            let line = write_control(&control);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(read_control(&line), Some(control), "{line}");
        }
        assert_eq!(
            read_control(r#"{"control":"kick","user":1,"at":5,"later":true}"#),
            Some(Control::Kick {
                user: UserId::FIRST,
                at: Timestamp(5)
            })
        );
        for line in [
            r#"{"control":"pause"}"#,
            r#"{"control":"kick","user":0,"at":5}"#,
            "{",
        ] {
            assert_eq!(read_control(line), None, "{line}");
        }
    }
}
