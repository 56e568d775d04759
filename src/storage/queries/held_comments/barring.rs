//! Why comments that were held are not shown any more. What was decided about their authors and
//! their room since then holds for them too.

use std::collections::{BTreeMap, HashSet};

use super::super::{Conn, accounts, lives, modes, standings};
use crate::domain::{
    LiveId, LiveStatus, Reject, Sanction, SanctionKind, Standing, Timestamp, UserId,
    barring_comments, holding,
};
use crate::storage::StoreError;

/// Why a comment that was held is not shown now.
pub enum Barring {
    /// Its author notices: the comment is denied, or waits on.
    Open(Reject),
    /// Its author must not learn of a shadow.
    Shadow,
}

/// Authors of comments that were held in one room, as far as that decides whether they are shown.
pub struct Authors {
    /// An error if the room shows nothing any more.
    room: Result<OpenRoom, Reject>,
    standings: BTreeMap<UserId, Standing>,
    on_site: BTreeMap<UserId, Vec<Sanction>>,
    disabled: HashSet<UserId>,
}

#[derive(Clone, Copy)]
struct OpenRoom {
    streamer: UserId,
    is_frozen: bool,
}

impl Authors {
    /// Reads what is known of these users, who have accounts: six statements, however many they are.
    pub async fn read(
        conn: &mut Conn,
        live_id: LiveId,
        users: Vec<UserId>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let room = open_room(conn, live_id).await?;
        let standings = match room {
            Ok(OpenRoom { streamer, .. }) => {
                standings::of_users(conn, streamer, live_id, &users, now).await?
            }
            Err(_) => BTreeMap::new(),
        };
        let on_site = standings::of_site_users(conn, &users, now).await?;
        let disabled = accounts::disabled(conn, users).await?;
        Ok(Self {
            room,
            standings,
            on_site,
            disabled: disabled.into_iter().collect(),
        })
    }

    /// Whether a comment of this author may be shown in the room now; `None`: it may.
    pub fn barring(&self, author: UserId, now: Timestamp) -> Option<Barring> {
        let OpenRoom {
            streamer,
            is_frozen,
        } = match self.room {
            Ok(room) => room,
            Err(reject) => return Some(Barring::Open(reject)),
        };
        let standing = self.standings.get(&author).cloned().unwrap_or_default();
        let on_site = self.on_site.get(&author).cloned().unwrap_or_default();
        let is_viewer = author != streamer && !standing.is_moderator;
        let sanctions = [standing.sanctions, on_site].concat();
        if self.disabled.contains(&author) || barring_comments(&sanctions, now).is_some() {
            Some(Barring::Open(Reject::AuthorBarred))
        } else if holding(&sanctions, SanctionKind::Shadow, now).is_some() {
            Some(Barring::Shadow)
        } else if is_frozen && is_viewer {
            Some(Barring::Open(Reject::Frozen))
        } else {
            None
        }
    }
}

async fn open_room(
    conn: &mut Conn,
    live_id: LiveId,
) -> Result<Result<OpenRoom, Reject>, StoreError> {
    let Some(live) = lives::by_id(conn, live_id).await? else {
        return Ok(Err(Reject::LiveNotFound));
    };
    if live.live.status == LiveStatus::Ended {
        return Ok(Err(Reject::LiveEnded));
    }
    let modes = modes::of_live(conn, live_id).await?;
    Ok(Ok(OpenRoom {
        streamer: live.live.owner,
        is_frozen: modes.is_some_and(|modes| modes.modes.frozen),
    }))
}
