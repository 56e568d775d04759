//! Controls as nodes write them. Fields are only ever added, and unknown ones ignored.

use serde::{Deserialize, Serialize};

use crate::domain::{
    Control, Principal, Sanction, SanctionId, SanctionKind, SanctionScope, Standing, Timestamp,
    UserId,
};

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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for control in [
            Control::Kick {
                user: UserId::FIRST,
                at: Timestamp(5),
            },
            Control::Standing {
                version: 3,
                user: UserId::FIRST,
                standing,
            },
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
