//! The HTTP connections of this node: how many there may be, and which of them are closed.
//!
//! A WebSocket is an HTTP connection until its handshake only; from then on its session counts (see
//! the gate) and nothing in here does. actix-http has a setting for the time of a connection's
//! first head, for keep-alive and for half-closed connections. It has none for what this module
//! adds: limits per address, evicting idle connections for new ones, a time for the heads of later
//! requests, a time for a client that does not read its response, and a bound on the requests that
//! it decodes ahead (see [`stream`]).
//!
//! The task of each connection notes its [`ConnectionState`] and since when. [`Connections::sweep`]
//! looks at all of them once a second and cuts those whose client is overdue. At a limit, those
//! that have waited for their client the longest are evicted. So a connection has no timer of its
//! own, and an idle one costs no work.

mod connection;
mod request;
mod stream;

use std::collections::HashMap;
use std::collections::hash_map::{Entry, OccupiedEntry};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::rt::time::{sleep, timeout};
use log::{debug, warn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::client_address::{NO_ADDRESS, is_trusted, limit_key};
use crate::config::{Config, LimitsConfig};

pub use connection::Connection;
use connection::ConnectionState;
pub use request::track;
pub(super) use request::unless_gone;
pub use stream::HttpStream;

/// How long a connection must have waited for its client before it may be evicted.
const EVICTABLE_AFTER: Duration = Duration::from_secs(1);

/// The time until the next search for connections to evict, after one that found none. A search
/// looks at all connections, and a full node is asked for room again and again.
const EVICTION_BACKOFF: Duration = Duration::from_millis(100);

/// One in so many of the connections that may be evicted is cut at once, so that a full node does
/// not search all of them for each newcomer.
const EVICTION_SHARE: usize = 64;

/// The longest time between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// actix-http answers 408 to a slow first head; the sweep comes later than that.
const HEAD_GRACE: Duration = Duration::from_secs(1);

/// Connections that are being refused at a time. More are closed without an answer.
pub const REFUSALS_MAX: usize = 32;

/// How long a refused connection may take to send its request and to read the refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// `Retry-After` of a refusal, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// No room for another connection or request, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for another HTTP connection")]
pub struct Full;

/// The connections and requests of one address.
#[derive(Default)]
struct AddressUse {
    connections: Vec<Arc<Connection>>,
    /// Requests being served that came through trusted proxies.
    requests: usize,
    /// Connections that were cut and are still in the list.
    cut: usize,
    /// When a search for connections to evict found none.
    eviction_failed_ms: Option<u64>,
}

impl AddressUse {
    fn used(&self) -> usize {
        self.connections.len() + self.requests - self.cut
    }
}

/// Counts since the last sweep, for the log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Events {
    refused: usize,
    evicted: usize,
    stalled: usize,
    slow_heads: usize,
}

#[derive(Default)]
struct Inner {
    /// Connections of all addresses, without those that were cut.
    count: usize,
    /// By address; trusted proxies are together under `None`.
    by_address: HashMap<Option<IpAddr>, AddressUse>,
    eviction_failed_ms: Option<u64>,
    events: Events,
}

/// All HTTP connections of this node.
pub struct Connections {
    config: Arc<Config>,
    began: Instant,
    inner: Mutex<Inner>,
    refusals: Semaphore,
}

impl Connections {
    pub fn new(config: Arc<Config>) -> Arc<Self> {
        let refusals = Semaphore::new(REFUSALS_MAX);
        Arc::new(Self {
            config,
            began: Instant::now(),
            inner: Mutex::default(),
            refusals,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock is a few operations that cannot panic, so a poisoned lock
        // guards whole state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Counts a connection that was accepted. One for which there is no room is answered 503 here.
    pub async fn admit(
        self: Arc<Self>,
        tcp: TcpStream,
    ) -> Result<(HttpStream, Option<SocketAddr>), Full> {
        let peer = tcp.peer_addr().ok();
        match self.try_add(peer.map_or(NO_ADDRESS, |peer| peer.ip()), self.now_ms()) {
            Ok(guard) => Ok((HttpStream::new(tcp, guard), peer)),
            Err(full) => {
                self.refuse(tcp).await;
                Err(full)
            }
        }
    }

    fn try_add(self: &Arc<Self>, peer: IpAddr, now_ms: u64) -> Result<ConnectionGuard, Full> {
        let address = (!self.is_trusted(peer)).then(|| limit_key(peer));
        let mut inner = self.lock();
        if !inner.has_room(address, &self.config.limits, now_ms) {
            inner.events.refused += 1;
            return Err(Full);
        }
        inner.count += 1;
        let connections = &mut inner.by_address.entry(address).or_default().connections;
        let connection = Arc::new(Connection::new(
            address,
            connections.len(),
            self.began,
            now_ms,
        ));
        connections.push(connection.clone());
        Ok(ConnectionGuard {
            connections: self.clone(),
            connection,
        })
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        is_trusted(peer, &self.config.server.trusted_proxies)
    }

    /// Counts a request of `address` that came through a trusted proxy, until the guard is dropped.
    fn try_request(self: &Arc<Self>, address: IpAddr) -> Result<RequestGuard, Full> {
        let address = limit_key(address);
        let mut inner = self.lock();
        let of_address = inner.by_address.entry(Some(address)).or_default();
        if of_address.used() >= per_address_max(&self.config.limits) {
            inner.events.refused += 1;
            return Err(Full);
        }
        of_address.requests += 1;
        Ok(RequestGuard {
            connections: self.clone(),
            address,
        })
    }

    /// Answers 503 and closes. The request is read first: a connection that is closed over unread
    /// bytes is reset, and the client would never see the answer.
    async fn refuse(&self, mut tcp: TcpStream) {
        let Ok(_permit) = self.refusals.try_acquire() else {
            return;
        };
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: {RETRY_AFTER_S}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let answered = timeout(REFUSAL_TIMEOUT, async {
            let mut request = [0; 1_024];
            if tcp.read(&mut request).await? == 0 {
                return Ok(());
            }
            tcp.write_all(answer.as_bytes()).await?;
            tcp.shutdown().await?;
            while tcp.read(&mut request).await? > 0 {}
            std::io::Result::Ok(())
        });
        if let Ok(Err(error)) = answered.await {
            debug!("refusal not sent: error={error}");
        }
    }

    /// Cuts connections whose client is overdue, once a second, until `connections` is dropped.
    pub async fn sweep(connections: Weak<Self>) {
        let Some(interval) = connections
            .upgrade()
            .map(|connections| connections.sweep_interval())
        else {
            return;
        };
        loop {
            sleep(interval).await;
            let Some(connections) = connections.upgrade() else {
                return;
            };
            let events = connections.sweep_once(connections.now_ms());
            if events != Events::default() {
                let Events {
                    refused,
                    evicted,
                    stalled,
                    slow_heads,
                } = events;
                warn!(
                    "http connections: refused={refused} evicted={evicted} stalled={stalled} slow_heads={slow_heads}"
                );
            }
        }
    }

    fn sweep_once(&self, now_ms: u64) -> Events {
        let mut inner = self.lock();
        let Inner {
            count,
            by_address,
            events,
            ..
        } = &mut *inner;
        for address in by_address.values_mut() {
            for connection in &address.connections {
                let (state, since_ms) = connection.state();
                let waited = Duration::from_millis(now_ms.saturating_sub(since_ms));
                if self.timeout_of(state).is_none_or(|time| waited < time)
                    || !cut(connection, &mut address.cut, count)
                {
                    continue;
                }
                match state {
                    ConnectionState::WriteBlocked => events.stalled += 1,
                    ConnectionState::ReadingHead => events.slow_heads += 1,
                    ConnectionState::Idle | ConnectionState::Serving => {}
                }
            }
        }
        std::mem::take(events)
    }

    /// Cuts all connections that wait for their client. A node that stops waits for the others
    /// only.
    pub fn cut_waiting(&self) {
        let mut inner = self.lock();
        let Inner {
            count, by_address, ..
        } = &mut *inner;
        for address in by_address.values_mut() {
            for connection in &address.connections {
                if connection.state().0 != ConnectionState::Serving {
                    cut(connection, &mut address.cut, count);
                }
            }
        }
    }

    fn remove(&self, connection: &Connection) {
        let mut inner = self.lock();
        let Inner {
            count, by_address, ..
        } = &mut *inner;
        let Entry::Occupied(mut entry) = by_address.entry(connection.address) else {
            return;
        };
        let address = entry.get_mut();
        connection.remove_from(&mut address.connections);
        if connection.is_cut() {
            address.cut -= 1;
        } else {
            *count -= 1;
        }
        remove_if_empty(entry);
    }

    /// How long a connection may stay in this state; `None`: as long as it takes.
    fn timeout_of(&self, state: ConnectionState) -> Option<Duration> {
        let server = &self.config.server;
        match state {
            ConnectionState::Idle => Some(server.keep_alive_ms.duration()),
            // From the first byte of a head, and for the first head from the start of the
            // connection.
            ConnectionState::ReadingHead => Some(server.head_timeout_ms.duration() + HEAD_GRACE),
            // In each such time a client must read `stream::RESPONSE_BYTES_MIN`, or the rest of the
            // response.
            ConnectionState::WriteBlocked => Some(server.stall_timeout_ms.duration()),
            // Handlers bound the time of what they wait for, bodies included.
            ConnectionState::Serving => None,
        }
    }

    fn sweep_interval(&self) -> Duration {
        let server = &self.config.server;
        let shortest = server
            .keep_alive_ms
            .min(server.head_timeout_ms)
            .min(server.stall_timeout_ms);
        (shortest.duration() / 4).clamp(Duration::from_millis(50), SWEEP_INTERVAL)
    }
}

impl Inner {
    /// Whether there is room for one more connection of `address`, after an eviction if need be.
    fn has_room(&mut self, address: Option<IpAddr>, limits: &LimitsConfig, now_ms: u64) -> bool {
        let of_address = address.and_then(|_| self.by_address.get(&address));
        let is_full =
            of_address.is_some_and(|of_address| of_address.used() >= per_address_max(limits));
        (!is_full || self.evict(address, now_ms))
            && (self.count < limits.http_connections || self.evict(None, now_ms))
    }

    /// Cuts the connections that have waited for their client the longest, of one address or else
    /// of all. Returns whether there were any.
    fn evict(&mut self, only: Option<IpAddr>, now_ms: u64) -> bool {
        let addresses: Vec<&AddressUse> = match only {
            Some(_) => self.by_address.get(&only).into_iter().collect(),
            None => self.by_address.values().collect(),
        };
        let failed_ms = match (only, &addresses[..]) {
            (Some(_), [address]) => address.eviction_failed_ms,
            _ => self.eviction_failed_ms,
        };
        if failed_ms.is_some_and(|at_ms| now_ms < at_ms + millis(EVICTION_BACKOFF)) {
            return false;
        }
        let mut waiting: Vec<(u64, &Arc<Connection>)> = addresses
            .into_iter()
            .flat_map(|address| &address.connections)
            .filter_map(|connection| Some((connection.evictable_since(now_ms)?, connection)))
            .collect();
        waiting.sort_unstable_by_key(|(since_ms, _)| *since_ms);
        let share = waiting.len().div_ceil(EVICTION_SHARE);
        let chosen: Vec<Arc<Connection>> = waiting
            .into_iter()
            .take(share)
            .map(|(_, one)| one.clone())
            .collect();
        for connection in &chosen {
            let Some(address) = self.by_address.get_mut(&connection.address) else {
                continue;
            };
            if cut(connection, &mut address.cut, &mut self.count) {
                self.events.evicted += 1;
            }
        }
        let failed_ms = chosen.is_empty().then_some(now_ms);
        match only.and_then(|_| self.by_address.get_mut(&only)) {
            Some(address) => address.eviction_failed_ms = failed_ms,
            None => self.eviction_failed_ms = failed_ms,
        }
        !chosen.is_empty()
    }
}

/// Most connections of one address, with its requests being served that came through trusted
/// proxies. Each session begins as an HTTP connection, so an address may have as many of those; but
/// no address may have more than half of all.
fn per_address_max(limits: &LimitsConfig) -> usize {
    let wanted = limits
        .http_connections_per_address
        .max(limits.connections_per_address);
    wanted.min(limits.http_connections.div_ceil(2))
}

/// Cuts a connection and counts it, with its address and on the node. Returns whether it was not
/// cut before.
fn cut(connection: &Connection, cut_of_address: &mut usize, count: &mut usize) -> bool {
    let is_new = connection.cut();
    if is_new {
        *cut_of_address += 1;
        *count -= 1;
    }
    is_new
}

/// Removes an address that has neither connections nor requests.
fn remove_if_empty(entry: OccupiedEntry<'_, Option<IpAddr>, AddressUse>) {
    if entry.get().connections.is_empty() && entry.get().requests == 0 {
        entry.remove();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Counts one HTTP connection until it is dropped.
pub(super) struct ConnectionGuard {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.remove(&self.connection);
    }
}

/// Counts one request that came through a trusted proxy until it is dropped.
struct RequestGuard {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) =
            self.connections.lock().by_address.entry(Some(self.address))
        {
            entry.get_mut().requests -= 1;
            remove_if_empty(entry);
        }
    }
}

#[cfg(test)]
mod tests;
