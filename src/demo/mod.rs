//! `liveroom demo`: something to look at within a second of starting.
//!
//! Fills an empty database with users, gifts and lives, opens a room and lets a few guests talk and
//! give in it, some of it for a moderator to take down. A guest is a session like any other, only
//! without a socket: what it says passes the token check, the limits, the room and the books.

mod guests;
mod lines;

use std::path::Path;
use std::sync::Arc;

use log::info;

use crate::app::App;
use crate::auth::{PasswordError, Passwords};
use crate::config::{Config, Secret, StoreUrl};
use crate::domain::{
    Action, Actor, Coins, LiveStatus, ManagerRole, RequestId, Role, Scope, Timestamp, UserId,
};
use crate::http::DEMO_GIFTS;
use crate::managers::ManagerInvite;
use crate::storage::{
    ActAuthor, ActionRecord, AddedManager, CoinGrant, LiveRow, Store, StoreError, User,
};

use guests::Guests;

/// The password of every demo account. They hold play money and the demo listens on loopback.
const PASSWORD: &str = "liveroom";
/// Of the managers, who need a longer one.
const MANAGER_PASSWORD: &str = "liveroom-demo";
/// Names, roles, and who administers: together they see everything.
const MANAGERS: [(&str, ManagerRole, bool); 2] = [
    ("operator", ManagerRole::Operator, true),
    ("finance", ManagerRole::Finance, false),
];
const STREAMER: (&str, &str) = ("streamer", "小美");
const VIEWERS: [(&str, &str); 2] = [("viewer1", "阿伟"), ("viewer2", "Lin")];
const GUESTS: [(&str, &str); 6] = [
    ("guest1", "橘子汽水"),
    ("guest2", "Momo"),
    ("guest3", "夜航船"),
    ("guest4", "Kai"),
    ("guest5", "云朵收集者"),
    ("guest6", "Sunny"),
];
/// Title, cover, and whether it is on air.
const LIVES: [(&str, &str, bool); 3] = [
    (
        "深夜电台 · Late night radio",
        "/assets/covers/aurora.svg",
        true,
    ),
    (
        "周末音乐会 · Weekend concert",
        "/assets/covers/neon.svg",
        false,
    ),
    (
        "手冲咖啡课 · Coffee class",
        "/assets/covers/sunset.svg",
        false,
    ),
];
/// Everybody starts with this much.
const COINS: i64 = 100_000;

/// Why the demo could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("password not hashed: {0}")]
    Password(#[from] PasswordError),
    #[error("the demo's database is not one: {0}")]
    Database(&'static str),
}

/// The configuration of a demo: its own database, and an admin token if there is none.
pub fn configure(mut config: Config, port: Option<u16>, data: &Path) -> Config {
    config.store.url = StoreUrl::sqlite(&data.join("liveroom.db"));
    // It shares nothing with other nodes.
    config.cluster.redis_url = Secret::new("");
    if let Some(port) = port {
        config.server.port = port;
    }
    if config.admin.token.is_empty() {
        config.admin.token = Secret::new(format!("{:032x}", rand::random::<u128>()));
    }
    config
}

/// A demo that is going on; over when dropped.
pub struct Demo {
    room: LiveRow,
    _guests: Guests,
}

impl Demo {
    /// Fills the database as far as it is empty, and lets the guests in.
    pub async fn start(app: &App) -> Result<Self, DemoError> {
        let store = app.store();
        let now = app.sessions().clock.now();
        let filler = Filler {
            store,
            now,
            password_hash: Passwords::new(1).hash(PASSWORD.to_owned()).await?,
            manager_password_hash: Passwords::new(1).hash(MANAGER_PASSWORD.to_owned()).await?,
        };
        let streamer = filler.user(STREAMER).await?;
        let mut viewers = Vec::new();
        for viewer in VIEWERS {
            viewers.push(filler.user(viewer).await?.id);
        }
        let mut guests = Vec::new();
        for guest in GUESTS {
            guests.push(filler.user(guest).await?);
        }
        for (name, role, is_admin) in MANAGERS {
            filler.manager(name, role, is_admin).await?;
        }
        filler.gifts().await?;
        app.catalogue().refresh().await?;
        let room = filler.lives(streamer.id).await?;
        filler.moderator(&room, viewers[0]).await?;
        let gifts = app
            .catalogue()
            .rows()
            .into_iter()
            .map(|row| row.gift.id)
            .collect();
        info!(
            "demo room open: live_id={} guests={}",
            room.live.id,
            guests.len()
        );
        let guests = Guests::start(app.sessions().clone(), room.live.id, gifts, guests);
        Ok(Self {
            room,
            _guests: guests,
        })
    }

    /// The text to print: the address, and the user to log in as.
    pub fn welcome(&self, app: &App, config: &Config) -> String {
        let url = format!("http://{}", app.address());
        let operators_url = format!("http://{}", app.operators_address());
        format!(
            "liveroom listening on {url}\n\n  \
             open      {url}/\n  \
             log in    {} (owns \"{}\"), {} (moderator) or {}\n  \
             password  {PASSWORD}\n  \
             operate   {operators_url}/admin/ as {} (rooms, managers) or {} (money)\n  \
             password  {MANAGER_PASSWORD}\n  \
             admin     curl -H 'Authorization: Bearer {}' {operators_url}/admin/rooms\n",
            STREAMER.0,
            self.room.live.title,
            VIEWERS[0].0,
            VIEWERS[1].0,
            MANAGERS[0].0,
            MANAGERS[1].0,
            config.admin.token.expose(),
        )
    }
}

/// Adds what is missing, so that starting the demo again finds everything as it was left.
struct Filler<'a> {
    store: &'a Arc<dyn Store>,
    now: Timestamp,
    password_hash: String,
    manager_password_hash: String,
}

impl Filler<'_> {
    async fn user(&self, (username, nickname): (&str, &str)) -> Result<User, DemoError> {
        let created = self
            .store
            .create_user(
                username.into(),
                Some(nickname.into()),
                self.password_hash.clone(),
                self.now,
            )
            .await?;
        let user = match created {
            Some(user) => user,
            None => {
                let known = self.store.credentials(username.into()).await?;
                known
                    .ok_or(DemoError::Database("a username is taken by nobody"))?
                    .user
            }
        };
        let request_id = RequestId::parse(&format!("demo-{username}"))
            .ok_or(DemoError::Database("a bad username"))?;
        let grant = CoinGrant {
            user_id: user.id,
            delta: Coins::new(COINS),
            request_id,
            at: self.now,
            by: ActAuthor::default(),
        };
        self.store.grant(grant).await?;
        Ok(user)
    }

    /// Adds a manager with the password of the demo. One that is there stays as it is.
    async fn manager(&self, name: &str, role: ManagerRole, admin: bool) -> Result<(), DemoError> {
        let invite = ManagerInvite::new(self.now);
        let link = invite.link.clone();
        let added = self.store.add_manager(
            name.into(),
            role,
            admin,
            link,
            self.now,
            ActAuthor::default(),
        );
        if let AddedManager::Added(_) = added.await? {
            let hash = self.manager_password_hash.clone();
            self.store
                .redeem_manager_link(invite.link.digest, hash, self.now, None)
                .await?;
        }
        Ok(())
    }

    async fn gifts(&self) -> Result<(), DemoError> {
        if self.store.gifts().await?.is_empty() {
            for (name, image, price) in DEMO_GIFTS {
                self.store
                    .create_gift(
                        name.into(),
                        image.into(),
                        Coins::new(price),
                        self.now,
                        ActAuthor::default(),
                    )
                    .await?;
            }
        }
        Ok(())
    }

    /// Has the streamer of a live name a moderator, once: the demo may have dismissed it since.
    async fn moderator(&self, room: &LiveRow, user: UserId) -> Result<(), DemoError> {
        let (actor, scope) = (Actor::User(room.live.owner), Scope::Live(room.live.id));
        let named = Action::SetModerator {
            user,
            moderator: true,
        };
        let record = ActionRecord {
            request_id: RequestId::parse(&format!("demo-moderator-{}", room.live.id)),
            ..ActionRecord::new(actor, Role::Streamer, scope, named, self.now)
        };
        self.store.perform(record).await?;
        Ok(())
    }

    /// Returns the live that the guests go to: the streamer's first that has not ended.
    async fn lives(&self, owner: UserId) -> Result<LiveRow, DemoError> {
        let open = |lives: Vec<LiveRow>| {
            lives
                .into_iter()
                .find(|row| row.live.owner == owner && row.live.status.require_open().is_ok())
        };
        if let Some(row) = open(self.store.lives(1, 100).await?) {
            return Ok(row);
        }
        for (title, cover, on_air) in LIVES {
            let key = format!("{:020x}", u128::from(rand::random::<u64>()));
            let row = self
                .store
                .create_live(owner, title.into(), cover.into(), key, self.now)
                .await?;
            if on_air {
                let (actor, scope) = (Actor::User(owner), Scope::Live(row.live.id));
                let begin = Action::SetStatus(LiveStatus::OnAir);
                self.store
                    .perform(ActionRecord::new(
                        actor,
                        Role::Streamer,
                        scope,
                        begin,
                        self.now,
                    ))
                    .await?;
            }
        }
        open(self.store.lives(1, 100).await?).ok_or(DemoError::Database(
            "a live that was just started is not on air",
        ))
    }
}
