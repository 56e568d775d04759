//! The registry as the rest of the program sees it.

use std::sync::Arc;

use actix::Addr;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::actors::ask::{AskError, answer};
use crate::actors::live_room::{Observe, ObserveDetail, PostNotice, RoomDetail, RoomStats, TakeDown};
use crate::cluster::{Broker, ROOMS_PAGE_MAX, RoomsPage};
use crate::domain::{CommentId, Live, LiveId, Reject, RoomEvent, UserId};

use super::{FindRoom, Kick, LiveRowChanged, Locate, Located, OpenRooms, Registry, RoomAddr};

/// Open rooms at a glance, by live id.
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

    /// Tells the room, if it is open, that the row of its live changed.
    pub fn live_changed(&self, live: Live) {
        self.tell_row(live, false);
    }

    /// Tells the room of this node, if it is open, what the row of its live is: it may have missed it.
    pub fn live_is(&self, live: Live) {
        self.tell_row(live, true);
    }

    fn tell_row(&self, Live { id, status, title, .. }: Live, is_repeated: bool) {
        #[expect(clippy::disallowed_methods, reason = "streamers and operators are few, and it must arrive")]
        self.registry.do_send(LiveRowChanged { live_id: id, status, title, is_repeated });
    }

    /// Tells the members of a live's room, if it is open on any node, that a comment was taken down. A
    /// room that is not open has nothing to take back.
    pub async fn take_down(&self, live_id: LiveId, comment_id: CommentId) -> Result<(), AskError> {
        match self.find(live_id).await? {
            Some(room) => room.try_send(TakeDown(comment_id)).map_err(|_| AskError::Closed),
            None => {
                self.broker.tell(live_id, RoomEvent::Removed { live_id, comment_id }).await;
                Ok(())
            }
        }
    }

    /// Tells the members of a live's room something; false if it is open on no node.
    pub async fn notice(&self, live_id: LiveId, text: &str) -> Result<bool, AskError> {
        match self.find(live_id).await? {
            Some(room) => {
                room.try_send(PostNotice(text.into())).map_err(|_| AskError::Closed)?;
                Ok(true)
            }
            None => Ok(self.broker.tell(live_id, RoomEvent::Notice { live_id, text: text.into() }).await),
        }
    }

    /// Whether the room of a live is open on any node.
    pub async fn is_open(&self, live_id: LiveId) -> Result<bool, AskError> {
        Ok(self.find(live_id).await?.is_some() || self.broker.is_open(live_id).await)
    }

    /// Removes a user from a room of this node.
    pub fn kick(&self, live_id: LiveId, user: UserId) {
        #[expect(clippy::disallowed_methods, reason = "operators are few, and it must arrive")]
        self.registry.do_send(Kick { live_id, user });
    }

    /// One page of the open rooms, or all of them without a page. Only rooms of the page are asked; one that does
    /// not answer in time is left out.
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
        Ok(Overview { rooms: join_all(asked).await.into_iter().flatten().collect(), next_after })
    }

    /// One room in full; `None` if it is not open.
    pub async fn detail(&self, live_id: LiveId) -> Result<Option<RoomDetail>, AskError> {
        let Some(room) = self.find(live_id).await? else { return Ok(None) };
        let (reply, detail) = oneshot::channel();
        room.try_send(ObserveDetail(reply)).map_err(|_| AskError::Closed)?;
        answer(detail).await.map(Some)
    }

    /// Whether the registry answers.
    pub async fn ping(&self) -> Result<(), AskError> {
        // Any question does, and this one costs the same however many rooms are open.
        self.find(LiveId::FIRST).await.map(|_| ())
    }

    /// The room of a live if it is open on this node; it is not opened.
    async fn find(&self, live_id: LiveId) -> Result<Option<RoomAddr>, AskError> {
        let (reply, room) = oneshot::channel();
        self.registry.try_send(FindRoom { live_id, reply }).map_err(|_| AskError::Closed)?;
        answer(room).await
    }

    async fn open_rooms(&self) -> Result<Vec<(LiveId, RoomAddr)>, AskError> {
        let (reply, rooms) = oneshot::channel();
        self.registry.try_send(OpenRooms(reply)).map_err(|_| AskError::Closed)?;
        answer(rooms).await
    }
}
