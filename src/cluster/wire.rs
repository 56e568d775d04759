//! Users of a room as nodes show them to each other, as JSON; events are in `protocol/events.rs`.
//! Both ends are this program, of neighbouring versions during a rolling restart: fields are only
//! ever added, and unknown ones ignored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{PeerUser, PresenceChange, Profile, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireUser {
    id: i64,
    name: String,
    avatar: Option<String>,
}

impl From<&Profile> for WireUser {
    fn from(profile: &Profile) -> Self {
        Self {
            id: profile.id.get(),
            name: profile.name.clone(),
            avatar: profile.avatar.clone(),
        }
    }
}

impl WireUser {
    fn read(self) -> Option<Arc<Profile>> {
        Some(Arc::new(Profile {
            id: UserId::new(self.id)?,
            name: self.name,
            avatar: self.avatar,
        }))
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
        Self {
            user: user.profile.as_ref().into(),
            sockets: Some(sockets),
            at: user.arrived_at.0,
        }
    }

    pub fn absent(user: UserId) -> Self {
        let user = WireUser {
            id: user.get(),
            name: String::new(),
            avatar: None,
        };
        Self {
            user,
            sockets: None,
            at: 0,
        }
    }

    /// The change; `None` for one that no node writes.
    pub fn read(self) -> Option<PresenceChange> {
        let Some(sockets) = self.sockets else {
            return UserId::new(self.user.id).map(PresenceChange::Offline);
        };
        let sockets = sockets.into_iter().map(Arc::from).collect();
        let user = PeerUser {
            profile: self.user.read()?,
            sockets,
            arrived_at: Timestamp(self.at),
        };
        Some(PresenceChange::Online(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Arc<Profile> {
        Arc::new(Profile {
            id: UserId::FIRST,
            name: "小明".into(),
            avatar: None,
        })
    }

    #[test]
    fn peers_read_as_they_were_written() {
        let user = PeerUser {
            profile: profile(),
            sockets: vec!["a".into(), "b".into()],
            arrived_at: Timestamp(9),
        };
        assert_eq!(
            WirePeer::present(&user).read(),
            Some(PresenceChange::Online(user))
        );
        assert_eq!(
            WirePeer::absent(UserId::FIRST).read(),
            Some(PresenceChange::Offline(UserId::FIRST))
        );
    }
}
