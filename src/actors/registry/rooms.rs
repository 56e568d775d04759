//! The registry as the rest of the program sees it.

use std::sync::Arc;

use actix::Addr;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::actors::ask::{AskError, answer};
use crate::actors::live_room::{
    Explain, Observe, ObserveDetail, ObserveMembers, RoomDetail, RoomStats, VersionedLive,
};
use crate::cluster::{Appended, Broker, MembersAsked, MembersFound, ROOMS_PAGE_MAX, RoomsPage};
use crate::domain::{
    ActionEntry, Control, EntryContent, ExplainedCheck, LiveId, Reject, Sanction, Timestamp,
    UserFacts, UserId,
};

use super::{
    Applied, ApplyInRoom, CompareRooms, CompareRoomsOf, ControlRoom, FindRoom, FollowChangedOf,
    Locate, Located, OpenLives, OpenRooms, Registry, RoomAddr,
};

/// The statistics of open rooms, by live id.
#[derive(Debug, Default)]
pub struct Overview {
    pub rooms: Vec<RoomStats>,
    /// The last live id of the page if more rooms follow. That room may be one that did not answer.
    pub next_after: Option<LiveId>,
}

/// A way to the live rooms of this node. Clone it and keep it: a mailbox is bounded only for an
/// address that is kept.
#[derive(Clone)]
pub struct Rooms {
    registry: Addr<Registry>,
    broker: Arc<dyn Broker>,
}

impl Rooms {
    pub fn new(registry: Addr<Registry>, broker: Arc<dyn Broker>) -> Self {
        Self { registry, broker }
    }

    /// The room of a live, opened if need be.
    pub async fn locate(&self, live_id: LiveId) -> Located {
        let (reply, located) = oneshot::channel();
        if self.registry.try_send(Locate { live_id, reply }).is_err() {
            return Err(Reject::BUSY);
        }
        answer(located).await.unwrap_or(Err(Reject::BUSY))
    }

    /// Applies an action in the room of a live, on this node and wherever else it is open. Returns
    /// whether that is settled; otherwise the log of the room may not have the entry yet, and
    /// [`Rooms::deliver`] has to be called later.
    pub async fn apply(&self, live_id: LiveId, entry: ActionEntry) -> Result<bool, AskError> {
        // An event of a room that is open here is appended by that room, after what the room
        // decided before it. One that is loading may have nothing to append.
        let is_event = matches!(entry.content, EntryContent::Event(_));
        let is_here =
            is_event && self.ask_to_apply(live_id, entry.clone()).await? == Applied::InRoom;
        if is_here {
            Ok(!self.broker.is_shared())
        } else {
            self.deliver(live_id, entry).await
        }
    }

    /// Appends what an action adds to the log of a room, and so has it applied by every node that
    /// has the room. Where that cannot be done the room of this node applies it. Returns whether it
    /// is settled; repeating it is safe.
    pub async fn deliver(&self, live_id: LiveId, entry: ActionEntry) -> Result<bool, AskError> {
        let appended = self.broker.append(live_id, entry.clone()).await;
        if appended != Appended::InLog {
            self.ask_to_apply(live_id, entry).await?;
        }
        Ok(appended != Appended::Unreachable)
    }

    /// Applies an action in the room of a live if it is open on this node, or about to be; returns
    /// whether it is.
    pub async fn apply_here(&self, live_id: LiveId, entry: ActionEntry) -> Result<bool, AskError> {
        Ok(self.ask_to_apply(live_id, entry).await? != Applied::Nowhere)
    }

    async fn ask_to_apply(&self, live_id: LiveId, entry: ActionEntry) -> Result<Applied, AskError> {
        let (reply, applied) = oneshot::channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "streamers and operators are few, and it must arrive"
        )]
        self.registry.do_send(ApplyInRoom {
            live_id,
            entry,
            reply,
        });
        answer(applied).await
    }

    /// Has the room of a live do what a control says, if it is open on this node.
    pub fn control_here(&self, live_id: LiveId, control: Control) {
        #[expect(
            clippy::disallowed_methods,
            reason = "operators are few, and it must arrive"
        )]
        self.registry.do_send(ControlRoom { live_id, control });
    }

    /// Has the rooms of these lives compared with their rows, which may have changed.
    pub fn compare(&self, live_ids: Vec<LiveId>) {
        // A full registry compares all rooms soon.
        let _ = self.registry.try_send(CompareRooms(live_ids));
    }

    /// Has the rooms of these streamers compared with the store, where standings of users changed.
    pub fn compare_of(&self, streamers: Vec<UserId>) {
        // A full registry compares all rooms soon.
        let _ = self.registry.try_send(CompareRoomsOf(streamers));
    }

    /// Informs the rooms of this node that belong to a streamer that a user follows it, or does not
    /// any more. Those of other nodes find out within some seconds.
    pub fn follow_changed(&self, streamer: UserId, follower: UserId) {
        // A full registry leaves it to the rooms to find out.
        let _ = self
            .registry
            .try_send(FollowChangedOf { streamer, follower });
    }

    /// Whether the room of a live is open on any node, or may be: other nodes may be out of reach.
    pub async fn may_be_open(&self, live_id: LiveId) -> Result<bool, AskError> {
        Ok(self.find(live_id).await?.is_some()
            || self.broker.is_open_elsewhere(live_id).await.unwrap_or(true))
    }

    /// One page of the open rooms, or all of them without a page. Only rooms of the page are asked;
    /// one that does not answer in time is left out.
    pub async fn overview(&self, page: Option<RoomsPage>) -> Result<Overview, AskError> {
        let mut open = self.open_rooms().await?;
        let mut next_after = None;
        if let Some(page) = page {
            let limit = page.limit.clamp(1, ROOMS_PAGE_MAX) as usize;
            open.retain(|(live_id, _)| live_id.get() > page.after);
            next_after = (open.len() > limit).then(|| open[limit - 1].0);
            open.truncate(limit);
        }
        let asked = open.into_iter().filter_map(|(_, room)| {
            let (reply, stats) = oneshot::channel();
            room.try_send(Observe(reply)).ok().map(|()| answer(stats))
        });
        Ok(Overview {
            rooms: join_all(asked).await.into_iter().flatten().collect(),
            next_after,
        })
    }

    /// One room in full; `None` if it is not open.
    pub async fn detail(&self, live_id: LiveId) -> Result<Option<RoomDetail>, AskError> {
        let Some(room) = self.find(live_id).await? else {
            return Ok(None);
        };
        let (reply, detail) = oneshot::channel();
        room.try_send(ObserveDetail(reply))
            .map_err(|_| AskError::Closed)?;
        answer(detail).await.map(Some)
    }

    /// A page of the users with sessions of this node in a room: none if it is not open.
    pub async fn members(&self, asked: &MembersAsked) -> Result<MembersFound, AskError> {
        let room = match LiveId::new(asked.live_id) {
            Some(live_id) => self.find(live_id).await?,
            None => None,
        };
        let Some(room) = room else {
            return Ok(MembersFound::default());
        };
        let (reply, found) = oneshot::channel();
        let asked = asked.clone();
        room.try_send(ObserveMembers { asked, reply })
            .map_err(|_| AskError::Closed)?;
        answer(found).await
    }

    /// What a comment of a user would be checked for in a room; `None` if it is not open here.
    pub async fn explain(
        &self,
        live_id: LiveId,
        user: UserId,
        site_sanctions: Vec<Sanction>,
        account_since: Timestamp,
        facts: UserFacts,
    ) -> Result<Option<Vec<ExplainedCheck>>, AskError> {
        let Some(room) = self.find(live_id).await? else {
            return Ok(None);
        };
        let (reply, explained) = oneshot::channel();
        room.try_send(Explain {
            user,
            site_sanctions,
            account_since,
            facts,
            reply,
        })
        .map_err(|_| AskError::Closed)?;
        answer(explained).await.map(Some)
    }

    /// Whether the registry answers.
    pub async fn ping(&self) -> Result<(), AskError> {
        // Any question does, and this one costs the same however many rooms are open.
        self.find(LiveId::FIRST).await.map(|_| ())
    }

    /// The room of a live if it is open on this node; it is not opened.
    async fn find(&self, live_id: LiveId) -> Result<Option<RoomAddr>, AskError> {
        let (reply, room) = oneshot::channel();
        self.registry
            .try_send(FindRoom { live_id, reply })
            .map_err(|_| AskError::Closed)?;
        answer(room).await
    }

    /// What the rooms that are open on this node publish, by live id. Costs the registry as much as
    /// copying the list; no room is asked.
    pub async fn open_lives(&self) -> Result<Vec<(LiveId, Arc<VersionedLive>)>, AskError> {
        let (reply, lives) = oneshot::channel();
        self.registry
            .try_send(OpenLives(reply))
            .map_err(|_| AskError::Closed)?;
        answer(lives).await
    }

    async fn open_rooms(&self) -> Result<Vec<(LiveId, RoomAddr)>, AskError> {
        let (reply, rooms) = oneshot::channel();
        self.registry
            .try_send(OpenRooms(reply))
            .map_err(|_| AskError::Closed)?;
        answer(rooms).await
    }
}
