//! Carries out requests to Redis, each beside the engine's loop. What comes of a request is another
//! [`Input`]. Nothing is decided here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use redis::{Cmd, PushInfo};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::cluster::NodeReport;
use crate::domain::{LiveId, NodeId, UserId};

use super::super::address::Address;
use super::super::append::{self, RoomQuestion};
use super::super::connection::{RedisConnection, Server, cause_of, timed_out};
use super::super::keys;
use super::super::link::Link;
use super::super::messages::NodeMessage;
use super::super::opening::RoomKey;
use super::super::presence_replica::PresenceMessage;
use super::backlog::Backlog;
use super::devices::DeviceInput;
use super::input::Input;
use super::request::{Channel, Publication, RedisRequest};
use super::room::RoomInput;
use super::settings;

/// Time between two attempts to publish that a room was closed.
const GONE_AGAIN: Duration = Duration::from_secs(1);
/// How long the users online in a room can be read when no node writes them any more.
const USERS_EX_S: u64 = 180;
/// How long the key of a device outlives the node that wrote it, in seconds.
const DEVICE_EX_S: u64 = 60;

/// The way to Redis: the pool for commands, and the connection over which messages arrive.
pub struct Performer {
    node: NodeId,
    address: Arc<Address>,
    link: Link,
    inputs: mpsc::UnboundedSender<Input>,
    /// How long others wait for a sign of this node.
    node_timeout: Duration,
    connection: Option<(u64, RedisConnection)>,
    backlog: Backlog,
}

impl Performer {
    pub fn new(
        node: NodeId,
        address: Arc<Address>,
        link: Link,
        inputs: mpsc::UnboundedSender<Input>,
        node_timeout: Duration,
    ) -> Self {
        Self {
            node,
            address,
            link,
            inputs,
            node_timeout,
            connection: None,
            backlog: Backlog::default(),
        }
    }

    /// Sets the connection over which messages arrive from now on.
    pub fn set_connection(&mut self, connection: Option<(u64, RedisConnection)>) {
        self.connection = connection;
    }

    /// Whether messages were dropped since this was asked last.
    pub fn take_overflow(&self) -> bool {
        self.backlog.take_overflow()
    }

    pub fn send(&self, request: RedisRequest) {
        match request {
            RedisRequest::Connect(number) => self.connect(number),
            RedisRequest::Ping(number, reached) => self.ping(number, reached),
            RedisRequest::ReadSettings(servers) => self.read_settings(servers),
            RedisRequest::Subscribe(key) => self.subscribe(key),
            RedisRequest::Unsubscribe(live_id) => self.unsubscribe(live_id),
            RedisRequest::Publish(publication) => self.publish(publication),
            RedisRequest::PublishGone(live_id, gone) => self.publish_gone(live_id, &gone),
            RedisRequest::AskLogs(questions) => self.ask_logs(questions),
            RedisRequest::SetUsers(key, users) => self.set_users(key, users),
            RedisRequest::WriteDeviceKeys(users) => self.write_device_keys(users),
            RedisRequest::DeleteDeviceKey(user) => self.delete_device_key(user),
        }
    }

    /// Runs beside the loop; an input that comes of it goes to the loop.
    fn spawn(&self, task: impl Future<Output = Option<Input>> + Send + 'static) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            if let Some(input) = task.await {
                // The engine lives as long as the process.
                let _ = inputs.send(input);
            }
        });
    }

    fn connect(&self, number: u64) {
        let (address, node) = (self.address.clone(), self.node);
        let (pushed, backlog) = (self.inputs.clone(), self.backlog.of_connection());
        // How long Redis may be silent.
        let timeout = self.link.timeout();
        self.spawn(async move {
            let connecting = async {
                let connection = address
                    .listen(timeout, move |info: PushInfo| {
                        let Some(slot) = backlog.take_slot() else {
                            return Ok(());
                        };
                        pushed
                            .send(Input::Pushed(number, info, slot))
                            .map_err(|_| ())
                    })
                    .await?;
                // At once: a Redis that takes its time for each answer would count as away before
                // the last.
                let (mut nodes, mut inbox, mut probed) =
                    (connection.clone(), connection.clone(), connection.clone());
                // Which of the servers the connection reaches is not known yet.
                let reached = BTreeSet::new();
                let (_, _, servers) = tokio::try_join!(
                    nodes.subscribe(keys::NODES_CHANNEL.to_owned(), false),
                    inbox.subscribe(keys::inbox_channel(node), false),
                    probed.responsive_servers(&reached, timeout, || ()),
                )?;
                connection.track_tokens(&servers, timeout).await?;
                Ok((connection, servers))
            };
            // Some steps of connecting have no time limit of their own. In a Redis Cluster more
            // than one step may wait for a frozen server, while the connection before serves the
            // others.
            let steps = if address.is_cluster() { 4 } else { 2 };
            let result = tokio::time::timeout(timeout * steps, connecting).await;
            let result = result.unwrap_or_else(|_| Err(timed_out()));
            Some(Input::Opened(
                number,
                result.map_err(|error| cause_of(&error)),
            ))
        });
    }

    fn ping(&self, number: u64, reached: BTreeSet<Server>) {
        let timeout = self.link.timeout();
        if let Some((_, connection)) = &self.connection {
            let (mut connection, inputs) = (connection.clone(), self.inputs.clone());
            self.spawn(async move {
                let on_answer = || _ = inputs.send(Input::PingAnswered(number));
                let servers = connection
                    .responsive_servers(&reached, timeout, on_answer)
                    .await;
                Some(Input::Pinged(
                    number,
                    servers.map_err(|error| cause_of(&error)),
                ))
            });
        }
    }

    fn read_settings(&self, servers: BTreeSet<Server>) {
        let timeout = self.link.timeout();
        if let Some((_, connection)) = &self.connection {
            let connection = connection.clone();
            self.spawn(async move {
                let faults = settings::faults_of(connection, servers, timeout).await?;
                Some(Input::SettingsRead(faults))
            });
        }
    }

    fn subscribe(&self, key: RoomKey) {
        if let Some((number, connection)) = &self.connection {
            let (number, mut connection) = (*number, connection.clone());
            self.spawn(async move {
                let channel = keys::room_channel(key.live_id);
                let result = connection.subscribe(channel, true).await;
                Some(Input::Subscribed(
                    number,
                    key,
                    result.map_err(|error| cause_of(&error)),
                ))
            });
        }
    }

    fn unsubscribe(&self, live_id: LiveId) {
        if let Some((_, connection)) = &self.connection {
            let mut connection = connection.clone();
            self.spawn(async move {
                // Messages of a room that is not open here are ignored.
                let _ = connection
                    .unsubscribe_room(keys::room_channel(live_id))
                    .await;
                None
            });
        }
    }

    fn publish(&self, publication: Publication) {
        let cmd = publish_command(
            publication.to,
            &publication.message,
            self.address.is_cluster(),
        );
        let (link, purpose, sent_at) = (self.link.clone(), publication.purpose, Instant::now());
        self.spawn(async move {
            let result = link.command(&cmd).await;
            Some(Input::Published(purpose, sent_at, result))
        });
    }

    /// Publishes the report of this node to another, when it is made.
    pub fn report(&self, to: NodeId, number: u64, report: BoxFuture<'static, NodeReport>) {
        let link = self.link.clone();
        self.spawn(async move {
            let report = Box::new(report.await);
            let message = NodeMessage::Report { number, report };
            let cmd = publish_command(Channel::Node(to), &message, false);
            let _ = link.command::<()>(&cmd).await;
            None
        });
    }

    fn publish_gone(&self, live_id: LiveId, gone: &PresenceMessage) {
        let cmd = publish_command(Channel::Room(live_id), gone, self.address.is_cluster());
        let (link, timeout) = (self.link.clone(), self.node_timeout);
        let published = async move {
            while link.command::<()>(&cmd).await.is_err() {
                tokio::time::sleep(GONE_AGAIN).await;
            }
        };
        self.spawn(async move {
            let _ = tokio::time::timeout(timeout, published).await;
            None
        });
    }

    fn ask_logs(&self, questions: Vec<RoomQuestion>) {
        let (link, is_cluster) = (self.link.clone(), self.address.is_cluster());
        let (inputs, sent_at) = (self.inputs.clone(), Instant::now());
        tokio::spawn(async move {
            let rooms: Vec<_> = questions
                .iter()
                .map(|room| (room.key(), room.question.number))
                .collect();
            let answers = append::ask(&link, is_cluster, questions).await;
            for ((key, number), answer) in rooms.into_iter().zip(answers) {
                let _ = inputs.send(Input::Answered(key, number, sent_at, answer));
            }
        });
    }

    fn set_users(&self, key: RoomKey, users: String) {
        let mut cmd = redis::cmd("SET");
        cmd.arg(keys::users(key.live_id))
            .arg(users)
            .arg("EX")
            .arg(USERS_EX_S);
        let link = self.link.clone();
        self.spawn(async move {
            let result = link.command::<()>(&cmd).await;
            let input = RoomInput::UsersNotSet;
            result.is_err().then_some(Input::Room(key, input))
        });
    }

    fn write_device_keys(&self, users: Vec<UserId>) {
        let (link, is_cluster) = (self.link.clone(), self.address.is_cluster());
        self.spawn(async move {
            // The next refresh repeats writes that fail.
            if is_cluster {
                // A pipeline cannot span several servers.
                let writes = users.iter().map(|user| {
                    let (link, cmd) = (link.clone(), set_device_key(*user));
                    async move { link.command::<()>(&cmd).await }
                });
                futures_util::future::join_all(writes).await;
            } else {
                let mut writes = redis::pipe();
                for user in &users {
                    writes.add_command(set_device_key(*user)).ignore();
                }
                let _ = link.pipeline::<()>(&writes).await;
            }
            Some(Input::Device(DeviceInput::KeysWritten(users)))
        });
    }

    fn delete_device_key(&self, user: UserId) {
        let mut cmd = redis::cmd("DEL");
        cmd.arg(keys::device(user));
        let link = self.link.clone();
        self.spawn(async move {
            let _ = link.command::<()>(&cmd).await;
            Some(Input::Device(DeviceInput::KeyDeleted(user)))
        });
    }
}

fn publish_command(to: Channel, message: &impl Serialize, is_cluster: bool) -> Cmd {
    let (command, channel) = match to {
        Channel::Nodes => ("PUBLISH", keys::NODES_CHANNEL.to_owned()),
        Channel::Node(node) => ("PUBLISH", keys::inbox_channel(node)),
        Channel::Room(live_id) => (
            keys::publish_command(is_cluster),
            keys::room_channel(live_id),
        ),
    };
    let text = serde_json::to_string(message).expect("strings and numbers are JSON");
    let mut cmd = redis::cmd(command);
    cmd.arg(channel).arg(text);
    cmd
}

fn set_device_key(user: UserId) -> Cmd {
    let mut cmd = redis::cmd("SET");
    cmd.arg(keys::device(user))
        .arg("1")
        .arg("EX")
        .arg(DEVICE_EX_S);
    cmd
}
