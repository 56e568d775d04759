//! Which sessions a user has on this node, so that a change of the user reaches them at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix::Addr;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::actors::ask::answer;
use crate::cluster::{DeviceTicket, SessionFound, USER_SESSIONS_MAX};
use crate::domain::{Disconnect, NodeId, SessionId, Timestamp, UserId};

use super::single_devices::{Contest, SingleDevices};
use super::strangers::{StrangerPlace, Strangers};
use super::user_limiters::{UserLimiter, UserLimiters};
use super::{Describe, FreeSeat, Reauthenticate, Revoked, Session};

struct Sessions {
    /// Set when the node drains: from then on no session begins.
    over: Option<Disconnect>,
    all: HashMap<SessionId, Addr<Session>>,
    by_user: HashMap<UserId, HashSet<SessionId>>,
    strangers: Strangers,
    devices: SingleDevices,
}

/// The sessions of this node. Locked when a session begins, is identified, or ends, and for the
/// messages of a stranger; never for a valid command. Its size is bounded by the gate.
pub struct SessionDirectory {
    next_id: AtomicU64,
    sessions: Mutex<Sessions>,
    limiters: UserLimiters,
}

impl SessionDirectory {
    /// `node`: this one, as others know it.
    pub fn new(node: NodeId) -> Self {
        let sessions = Sessions {
            over: None,
            all: HashMap::new(),
            by_user: HashMap::new(),
            strangers: Strangers::default(),
            devices: SingleDevices::new(node),
        };
        Self {
            next_id: AtomicU64::new(0),
            sessions: Mutex::new(sessions),
            limiters: UserLimiters::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // Every change under the lock is a few map operations, so a poisoned lock guards whole
        // state.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions of this node, whoever they are.
    pub fn sessions_count(&self) -> usize {
        self.lock().all.len()
    }

    /// Users with a session on this node, in no order.
    pub fn users(&self) -> Vec<UserId> {
        self.lock().by_user.keys().copied().collect()
    }

    /// Ends all sessions of a user for the given reason. Returns how many there were.
    pub fn revoke(&self, user: UserId, reason: Disconnect) -> usize {
        let sessions = self.lock();
        let Some(ids) = sessions.by_user.get(&user) else {
            return 0;
        };
        revoke_all(ids.iter().filter_map(|id| sessions.all.get(id)), reason)
    }

    /// Makes a session the one device of its user on this node, and ends the one before. Returns
    /// the ticket that other nodes compare with those of their devices.
    pub(super) fn claim_device(&self, user: UserId, id: SessionId, now: Timestamp) -> DeviceTicket {
        let mut sessions = self.lock();
        let (ticket, before) = sessions.devices.claim(user, id, now);
        revoke_all(
            before
                .and_then(|before| sessions.all.get(&before))
                .into_iter(),
            Disconnect::OtherDevice,
        );
        ticket
    }

    pub(super) fn release_device(&self, user: UserId, id: SessionId) {
        self.lock().devices.release(user, id);
    }

    /// Another node has a device of this user, with this ticket. Ends the device of this node if
    /// the other is the later one. Returns the ticket of the device of this node if that one is.
    pub fn compare_device(
        &self,
        user: UserId,
        other: Option<DeviceTicket>,
    ) -> Option<DeviceTicket> {
        let mut sessions = self.lock();
        match sessions.devices.compare(user, other) {
            Contest::Unknown => None,
            Contest::Stays(ticket) => Some(ticket),
            Contest::Ends(session) => {
                revoke_all(
                    sessions.all.get(&session).into_iter(),
                    Disconnect::OtherDevice,
                );
                None
            }
        }
    }

    /// The users with a device on this node, and their tickets; none unless one device is all that
    /// is allowed.
    pub fn held_devices(&self) -> Vec<(UserId, DeviceTicket)> {
        self.lock().devices.held()
    }

    /// The sessions of a user, at most [`USER_SESSIONS_MAX`] of them. Those that do not answer in
    /// time are left out.
    pub async fn describe(&self, user: UserId) -> Vec<SessionFound> {
        let asked: Vec<_> = {
            let sessions = self.lock();
            let ids = sessions.by_user.get(&user).into_iter().flatten();
            ids.filter_map(|id| sessions.all.get(id))
                .take(USER_SESSIONS_MAX)
                .filter_map(|session| {
                    let (reply, found) = oneshot::channel();
                    session
                        .try_send(Describe(reply))
                        .ok()
                        .map(|()| answer(found))
                })
                .collect()
        };
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Has all sessions of a user authenticate again.
    pub fn recheck(&self, user: UserId) {
        let sessions = self.lock();
        let ids = sessions.by_user.get(&user).into_iter().flatten();
        for session in ids.filter_map(|id| sessions.all.get(id)) {
            #[expect(
                clippy::disallowed_methods,
                reason = "a verdict must arrive, and there are few"
            )]
            session.do_send(Reauthenticate);
        }
    }

    /// Ends every session, and those that begin from now on: the node drains, and clients that are
    /// sent elsewhere still have connections to this node.
    pub fn end_all(&self, reason: Disconnect) -> usize {
        let mut sessions = self.lock();
        sessions.over = Some(reason);
        revoke_all(sessions.all.values(), reason)
    }

    /// Asks strangers to go, the longest silent first, so that `wanted` seats become free in all;
    /// at most `asked_max` of them.
    pub fn free_seats(&self, wanted: usize, asked_max: usize) {
        let mut sessions = self.lock();
        let picked = sessions.strangers.pick(wanted, asked_max, Instant::now());
        for session in picked.iter().filter_map(|id| sessions.all.get(id)) {
            #[expect(
                clippy::disallowed_methods,
                reason = "once per session, and it must arrive"
            )]
            session.do_send(FreeSeat);
        }
    }

    /// Lists the session as a stranger.
    pub(super) fn enter_stranger(&self, id: SessionId) -> StrangerPlace {
        self.lock().strangers.enter(id, Instant::now())
    }

    /// A stranger sent a message.
    pub(super) fn stranger_sent(&self, place: StrangerPlace) -> StrangerPlace {
        self.lock().strangers.sent(place, Instant::now())
    }

    /// A stranger sent a valid command, or ended.
    pub(super) fn leave_stranger(&self, place: StrangerPlace) {
        self.lock().strangers.leave(place);
    }

    pub(super) fn next_id(&self) -> SessionId {
        SessionId(self.next_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Returns why the session must not begin, if so.
    pub(super) fn begin(&self, id: SessionId, session: Addr<Session>) -> Option<Disconnect> {
        let mut sessions = self.lock();
        sessions.all.insert(id, session);
        sessions.over
    }

    /// The limiter of everything the user's sessions on this node ask for.
    pub(super) fn limiter(&self, user: UserId, now: Timestamp) -> Arc<UserLimiter> {
        self.limiters.of(user, now)
    }

    pub(super) fn identify(&self, user: UserId, id: SessionId) {
        self.lock().by_user.entry(user).or_default().insert(id);
    }

    pub(super) fn forget(&self, user: UserId, id: SessionId) {
        let mut sessions = self.lock();
        if let Some(ids) = sessions.by_user.get_mut(&user) {
            ids.remove(&id);
            if ids.is_empty() {
                sessions.by_user.remove(&user);
            }
        }
    }

    pub(super) fn end(&self, id: SessionId) {
        self.lock().all.remove(&id);
    }
}

fn revoke_all<'a>(sessions: impl Iterator<Item = &'a Addr<Session>>, reason: Disconnect) -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "a verdict must arrive, and comes once"
    )]
    sessions
        .map(|session| session.do_send(Revoked(reason)))
        .count()
}
