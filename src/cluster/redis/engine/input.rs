//! Everything that reaches the engine: requests of the rest of the program, and what Redis answers
//! or pushes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use redis::{PushInfo, RedisResult};
use tokio::sync::oneshot;

use crate::cluster::Signal;
use crate::domain::UserId;

use super::super::NodeHandlers;
use super::super::connection::{RedisConnection, Server};
use super::super::entries::Answer;
use super::super::opening::{Opened, RoomGauge, RoomKey};
use super::backlog::BacklogSlot;
use super::devices::DeviceInput;
use super::out::TokenNews;
use super::reports::ReportRequest;
use super::request::Purpose;
use super::room::RoomInput;

/// Called on the cluster's thread: must not block.
pub type TokenListener = Box<dyn Fn(TokenNews) + Send>;

/// An input of the engine.
pub enum Input {
    // Of the rest of the program.
    OpenRoom(RoomKey, Arc<RoomGauge>, oneshot::Sender<Opened>),
    Room(RoomKey, RoomInput),
    CloseRoom(RoomKey),
    Device(DeviceInput),
    Serve(NodeHandlers),
    ListenToTokens(TokenListener),
    /// The user's token is void: its sessions on this node must authenticate again.
    Recheck(UserId),
    /// To all other nodes.
    Signal(Signal),
    /// Answered with the nodes that are known.
    RequestReports(ReportRequest),
    /// Answered when the others were notified, or could not be.
    Leave(oneshot::Sender<()>),

    // Of Redis. Each `u64` is the number of a connection, if not said otherwise; `Err` is a cause.
    /// The attempt to connect has ended: with a connection and the servers that it reaches, or
    /// without one.
    Opened(u64, Result<(RedisConnection, BTreeSet<Server>), String>),
    Pushed(u64, PushInfo, BacklogSlot),
    Subscribed(u64, RoomKey, Result<(), String>),
    /// Any server of a Redis Cluster has answered the ping.
    PingAnswered(u64),
    /// Which servers still answer.
    Pinged(u64, Result<BTreeSet<Server>, String>),
    /// The log has answered the question of this number, which was sent then.
    Answered(RoomKey, u64, Instant, RedisResult<Answer>),
    /// A message that was sent then was delivered to so many nodes, or could not be.
    Published(Purpose, Instant, RedisResult<usize>),
    /// The faults of the settings of Redis.
    SettingsRead(BTreeSet<String>),
}
