//! The setup of a run: accounts, lives, gifts and coins, created over HTTP before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::accounts::{self, Account};
use crate::http::{Base, HttpFault, NO_HEADER};
use crate::script::{RoomPlan, Script};
use crate::standings::Rule;

/// Comments in one page of a live's history: the most that a server gives.
const HISTORY_PAGE: usize = 100;

/// Everything that the driver needs of the server.
#[derive(Debug)]
pub struct Setup {
    pub base: Base,
    /// The server's, if it reports it.
    pub version: Option<String>,
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

#[derive(Debug, Clone, Copy)]
pub struct GiftOnOffer {
    pub id: i64,
    pub price: i64,
}

impl Setup {
    /// Makes what the script needs, or finds what an earlier run left.
    /// Tokens are kept in `accounts_file`, if there is one.
    pub fn build(
        base: Base,
        admin_token: Option<String>,
        script: &Script,
        run_id: String,
        accounts_file: Option<&Path>,
    ) -> Result<Self, HttpFault> {
        let mut setup = Self {
            base,
            version: None,
            admin_token,
            rooms: sites(script),
            users: Vec::new(),
            owner: Account::default(),
            gifts: Vec::new(),
            run_id,
        };
        if script.target.templates.is_some() {
            setup.users = vec![Account::default()];
            return Ok(setup);
        }
        setup.version = setup.base.version();
        let users_count = script
            .rooms
            .iter()
            .map(|room| room.users_count())
            .max()
            .unwrap_or_default();
        // The first is the streamer's.
        let mut accounts = accounts::prepare(&setup.base, users_count + 1, accounts_file)?;
        setup.owner = accounts.remove(0);
        setup.users = accounts;
        for index in 0..setup.rooms.len() {
            let title = format!("{}: {}", script.script.name, setup.rooms[index].name);
            setup.rooms[index].live_id = setup.create_live(&title)?;
        }
        setup.create_gifts(script)?;
        setup.grant_coins(script)?;
        setup.set_follows(script)?;
        Ok(setup)
    }

    fn create_live(&self, title: &str) -> Result<i64, HttpFault> {
        let owner = ("token", self.owner.token.as_str());
        let made = self.base.post(
            "/api/live/create",
            owner,
            &json!({"title": title, "cover": "/lab.png"}),
        )?;
        let live_id = made["data"]["id"].as_i64().unwrap_or_default();
        self.base.post(
            "/api/live/changestatus",
            owner,
            &json!({"id": live_id, "type": "play"}),
        )?;
        Ok(live_id)
    }

    /// One gift for each price that a script asks for, reused by later runs.
    fn create_gifts(&mut self, script: &Script) -> Result<(), HttpFault> {
        let plans = script.rooms.iter().filter_map(|room| room.gifts.as_ref());
        let prices: BTreeSet<i64> = plans
            .flat_map(|gifts| gifts.get_ref().catalogue.iter().copied())
            .collect();
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
            self.gifts.push(GiftOnOffer {
                id: id.unwrap_or_default(),
                price,
            });
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
                let grant =
                    json!({"delta": delta, "request_id": format!("{}-u{user}", self.run_id)});
                self.admin_post(&format!("/admin/users/{}/coins", account.id), &grant)?;
            }
            self.users[user].coins_before = Some(self.balance(account)?);
        }
        Ok(())
    }

    /// Who follows the streamer, in scripts with rooms where that counts: each is set, so that it
    /// does not matter what an earlier run left.
    fn set_follows(&self, script: &Script) -> Result<(), HttpFault> {
        let asks = |room: &&RoomPlan| {
            room.moderation()
                .is_some_and(|it| it.asks_for(Rule::Followers))
        };
        let plans = script.rooms.iter().filter(asks);
        let users_count = plans.map(RoomPlan::users_count).max().unwrap_or_default();
        for (user, account) in self.users.iter().enumerate().take(users_count) {
            let follow = json!({"user_id": self.owner.id, "follow": follows(user)});
            let token = ("token", account.token.as_str());
            self.base.post("/api/user/follow", token, &follow)?;
        }
        Ok(())
    }

    /// The streamer's own terms, one on a line; without any, it has none.
    pub fn set_terms(&self, lines: &str) -> Result<(), HttpFault> {
        let token = ("token", self.owner.token.as_str());
        self.base
            .post_text("/api/filter/import", token, lines)
            .map(drop)
    }

    pub fn balance(&self, account: &Account) -> Result<i64, HttpFault> {
        let user = self
            .base
            .get("/api/user/info", ("token", account.token.as_str()))?;
        Ok(user["coin"].as_i64().unwrap_or_default())
    }

    /// `play`, `pause` or `stop`.
    pub fn set_live_status(&self, live_id: i64, kind: &str) -> Result<(), HttpFault> {
        let change = json!({"id": live_id, "type": kind});
        self.base
            .post(
                "/api/live/changestatus",
                ("token", self.owner.token.as_str()),
                &change,
            )
            .map(drop)
    }

    /// The live's coins according to the store.
    pub fn live_coins(&self, live_id: i64) -> Result<i64, HttpFault> {
        let live = self
            .base
            .get(&format!("/api/live/read/{live_id}"), NO_HEADER)?;
        Ok(live["data"]["coin"].as_i64().unwrap_or_default())
    }

    /// The ids of the comments that a live shows to those who read them later, newest first, and at
    /// most so many.
    pub fn history(&self, live_id: i64, comments_max: usize) -> Result<Vec<String>, HttpFault> {
        let mut ids: Vec<String> = Vec::new();
        while ids.len() < comments_max {
            let before = ids.last().map(|id| format!("&before={id}"));
            let path = format!(
                "/api/live/{live_id}/history?limit={HISTORY_PAGE}{}",
                before.unwrap_or_default()
            );
            let page = self.base.get(&path, NO_HEADER)?;
            let page = page.as_array().map_or(&[][..], Vec::as_slice);
            let id_of = |comment: &Value| comment["id"].as_str().map(str::to_owned);
            ids.extend(page.iter().filter_map(id_of));
            if page.len() < HISTORY_PAGE {
                break;
            }
        }
        Ok(ids)
    }

    /// The server's own proof of its books; `None` without an operator's token.
    pub fn ledger_proof(&self) -> Option<Result<Value, HttpFault>> {
        let token = self.admin_token.as_ref()?;
        Some(self.base.get(
            "/admin/ledger/proof",
            ("authorization", &format!("Bearer {token}")),
        ))
    }

    fn admin_post(&self, path: &str, body: &Value) -> Result<Value, HttpFault> {
        let token = self.admin_token.as_deref().unwrap_or_default();
        self.base
            .post(path, ("authorization", &format!("Bearer {token}")), body)
    }
}

/// Whether a user follows the streamer where that counts: every other does.
pub fn follows(user: usize) -> bool {
    user.is_multiple_of(2)
}

/// The rooms of a script, numbered from 1; lives that are made take the place of the numbers.
fn sites(script: &Script) -> Vec<RoomSite> {
    let plans = script.rooms.iter().enumerate();
    let names = plans.flat_map(|(plan, room)| {
        (1..=room.count).map(move |number| match room.count {
            1 => (plan, room.name.clone()),
            _ => (plan, format!("{} {number}", room.name)),
        })
    });
    names
        .zip(1..)
        .map(|((plan, name), live_id)| RoomSite {
            plan,
            name,
            live_id,
        })
        .collect()
}
