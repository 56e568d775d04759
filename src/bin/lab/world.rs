//! The world a run needs: accounts, lives, gifts and coins, made over HTTP before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Base, HttpFault};
use crate::script::Script;

/// Accounts are made by so many requests at a time: each costs the server a password hash, and
/// more would only queue.
const REGISTRATIONS_AT_ONCE: usize = 4;

/// How often, and how long apart, a busy server is asked again.
const BUSY_TRIES: usize = 60;
const BUSY_PAUSE: Duration = Duration::from_millis(500);

const PASSWORD: &str = "liveroom-lab-password";

/// Everything the driver must know of the server.
#[derive(Debug)]
pub struct World {
    pub base: Base,
    pub admin_token: Option<String>,
    pub rooms: Vec<RoomSite>,
    pub users: Vec<Account>,
    /// Owns every live of the run.
    pub owner: Account,
    pub gifts: Vec<GiftOnOffer>,
    /// Distinguishes this run's request ids from those of earlier ones.
    pub run_id: String,
}

/// One room of the run.
#[derive(Debug)]
pub struct RoomSite {
    /// Which `[[room]]` of the script it is.
    pub plan: usize,
    pub name: String,
    pub live_id: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Account {
    pub id: i64,
    pub token: String,
    /// Coins before the run; `None` if the books are not looked at.
    pub coins_before: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub struct GiftOnOffer {
    pub id: i64,
    pub price: i64,
}

impl World {
    /// Makes what the script needs, or finds what an earlier run left.
    pub fn build(base: Base, admin_token: Option<String>, script: &Script, run_id: String) -> Result<Self, HttpFault> {
        let mut world = Self {
            base,
            admin_token,
            rooms: sites(script),
            users: Vec::new(),
            owner: Account::default(),
            gifts: Vec::new(),
            run_id,
        };
        if script.target.templates.is_some() {
            world.users = vec![Account::default()];
            return Ok(world);
        }
        let users_count = script.rooms.iter().map(|room| room.users_count()).max().unwrap_or_default();
        let mut accounts = world.accounts(users_count + 1)?;
        world.owner = accounts.remove(0);
        world.users = accounts;
        for index in 0..world.rooms.len() {
            let title = format!("{}: {}", script.script.name, world.rooms[index].name);
            world.rooms[index].live_id = world.create_live(&title)?;
        }
        world.create_gifts(script)?;
        world.grant_coins(script)?;
        Ok(world)
    }

    /// The first account is the streamer's.
    fn accounts(&self, count: usize) -> Result<Vec<Account>, HttpFault> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Account)>, HttpFault> {
            let mut made = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(made);
                }
                made.push((index, self.account(&format!("lab-user-{index:05}"))?));
            }
        };
        let mut made = thread::scope(|scope| {
            let threads: Vec<_> = (0..REGISTRATIONS_AT_ONCE).map(|_| scope.spawn(work)).collect();
            let mut made = Vec::new();
            for thread in threads {
                made.extend(thread.join().expect("registering does not panic")?);
            }
            Ok(made)
        })?;
        made.sort_by_key(|(index, _)| *index);
        Ok(made.into_iter().map(|(_, account)| account).collect())
    }

    fn account(&self, name: &str) -> Result<Account, HttpFault> {
        let registration = json!({"username": name, "password": PASSWORD, "repassword": PASSWORD});
        // The account may be there from an earlier run; whether it is ours shows when logging in.
        let _ = self.post_patiently("/api/reg", &registration);
        let user = self.post_patiently("/api/login", &json!({"username": name, "password": PASSWORD}))?;
        Ok(Account {
            id: user["id"].as_i64().unwrap_or_default(),
            token: user["token"].as_str().unwrap_or_default().to_owned(),
            coins_before: None,
        })
    }

    /// A server whose password hashes queue up says so, and is asked again.
    fn post_patiently(&self, path: &str, body: &Value) -> Result<Value, HttpFault> {
        for _ in 1..BUSY_TRIES {
            match self.base.post(path, NO_HEADER, body) {
                Err(fault) if fault.status == Some(503) => thread::sleep(BUSY_PAUSE),
                outcome => return outcome,
            }
        }
        self.base.post(path, NO_HEADER, body)
    }

    fn create_live(&self, title: &str) -> Result<i64, HttpFault> {
        let owner = ("token", self.owner.token.as_str());
        let made = self.base.post("/api/live/create", owner, &json!({"title": title, "cover": "/lab.png"}))?;
        let live_id = made["data"]["id"].as_i64().unwrap_or_default();
        self.base.post("/api/live/changestatus", owner, &json!({"id": live_id, "type": "play"}))?;
        Ok(live_id)
    }

    /// One gift for each price that a script asks for, reused by later runs.
    fn create_gifts(&mut self, script: &Script) -> Result<(), HttpFault> {
        let plans = script.rooms.iter().filter_map(|room| room.gifts.as_ref());
        let prices: BTreeSet<i64> = plans.flat_map(|gifts| gifts.get_ref().catalogue.iter().copied()).collect();
        if prices.is_empty() {
            return Ok(());
        }
        let offered = self.base.get("/api/gift/list", NO_HEADER)?;
        for price in prices {
            let name = format!("lab {price}");
            let ours = |gift: &&Value| gift["name"] == name.as_str() && gift["coin"] == price;
            let id = match offered.as_array().and_then(|gifts| gifts.iter().find(ours)) {
                Some(gift) => gift["id"].as_i64(),
                None => {
                    let gift = json!({"name": name, "image": "/lab.png", "coin": price});
                    self.admin_post("/admin/gifts", &gift)?["id"].as_i64()
                }
            };
            self.gifts.push(GiftOnOffer { id: id.unwrap_or_default(), price });
        }
        Ok(())
    }

    /// Every giver gets the balances that its rooms promise it, and the books are looked at.
    fn grant_coins(&mut self, script: &Script) -> Result<(), HttpFault> {
        let mut grants: BTreeMap<usize, i64> = BTreeMap::new();
        for room in &script.rooms {
            let Some(gifts) = &room.gifts else { continue };
            for user in 0..room.users_count() {
                let balance = gifts.get_ref().balance.saturating_mul(room.count as i64);
                let grant = grants.entry(user).or_default();
                *grant = grant.saturating_add(balance);
            }
        }
        for (user, delta) in grants {
            let account = &self.users[user];
            if delta > 0 {
                let grant = json!({"delta": delta, "request_id": format!("{}-u{user}", self.run_id)});
                self.admin_post(&format!("/admin/users/{}/coins", account.id), &grant)?;
            }
            self.users[user].coins_before = Some(self.balance(account)?);
        }
        Ok(())
    }

    pub fn balance(&self, account: &Account) -> Result<i64, HttpFault> {
        let user = self.base.get("/api/user/info", ("token", account.token.as_str()))?;
        Ok(user["coin"].as_i64().unwrap_or_default())
    }

    /// `play`, `pause` or `stop`.
    pub fn set_live_status(&self, live_id: i64, kind: &str) -> Result<(), HttpFault> {
        let change = json!({"id": live_id, "type": kind});
        self.base.post("/api/live/changestatus", ("token", self.owner.token.as_str()), &change).map(drop)
    }

    /// The live's coins according to the store.
    pub fn live_coins(&self, live_id: i64) -> Result<i64, HttpFault> {
        let live = self.base.get(&format!("/api/live/read/{live_id}"), NO_HEADER)?;
        Ok(live["data"]["coin"].as_i64().unwrap_or_default())
    }

    /// The server's own proof of its books; `None` without an operator's token.
    pub fn ledger_proof(&self) -> Option<Result<Value, HttpFault>> {
        let token = self.admin_token.as_ref()?;
        Some(self.base.get("/admin/ledger/proof", ("authorization", &format!("Bearer {token}"))))
    }

    fn admin_post(&self, path: &str, body: &Value) -> Result<Value, HttpFault> {
        let token = self.admin_token.as_deref().unwrap_or_default();
        self.base.post(path, ("authorization", &format!("Bearer {token}")), body)
    }
}

const NO_HEADER: (&str, &str) = ("accept", "application/json");

/// The rooms of a script, numbered from 1; lives that are made take the place of the numbers.
fn sites(script: &Script) -> Vec<RoomSite> {
    let plans = script.rooms.iter().enumerate();
    let names = plans.flat_map(|(plan, room)| {
        (1..=room.count).map(move |number| match room.count {
            1 => (plan, room.name.clone()),
            _ => (plan, format!("{} {number}", room.name)),
        })
    });
    names.zip(1..).map(|((plan, name), live_id)| RoomSite { plan, name, live_id }).collect()
}
