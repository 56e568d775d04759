//! The accounts that members share: registered once, logged in when there is no token that still
//! works.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{Base, HttpFault, NO_HEADER};

/// Accounts are made by so many requests at a time: each costs the server a password hash, and
/// more would only queue.
const REQUESTS_AT_ONCE: usize = 4;

/// How often, and how long apart, a busy server is asked again.
const BUSY_TRIES: usize = 60;
const BUSY_PAUSE: Duration = Duration::from_millis(500);

const PASSWORD: &str = "liveroom-lab-password";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Account {
    pub id: i64,
    pub token: String,
    /// Coins before the run; `None` if the books are not looked at.
    #[serde(skip)]
    pub coins_before: Option<i64>,
}

/// Tokens of earlier runs by server, then by name.
type Kept = BTreeMap<String, BTreeMap<String, Account>>;

/// The first `count` accounts of the lab on a server. A server takes a token only as long as it is
/// the user's current one, so tokens cannot be made here; but they can be kept. With `file`, those
/// of earlier runs are tried first, and those of this one kept there.
pub fn prepare(base: &Base, count: usize, file: Option<&Path>) -> Result<Vec<Account>, HttpFault> {
    // A file that is not there, or not ours, has no tokens.
    let mut kept: Kept = file
        .and_then(|path| fs::read(path).ok())
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let known = kept.entry(base.address.to_string()).or_default();
    let name = |index: usize| format!("lab-user-{index:05}");
    let accounts = side_by_side(count, |index| {
        let earlier = known
            .get(&name(index))
            .filter(|account| is_current(base, account));
        earlier.map_or_else(
            || sign_in(base, index, &name(index)),
            |account| Ok(account.clone()),
        )
    })?;
    if let Some(path) = file {
        known.extend(
            accounts
                .iter()
                .enumerate()
                .map(|(index, account)| (name(index), account.clone())),
        );
        let text = serde_json::to_string(&kept).unwrap_or_default();
        fs::write(path, text)
            .map_err(|error| HttpFault::local(format!("{}: {error}", path.display())))?;
    }
    Ok(accounts)
}

/// The results of `work` for each number below `count`, in order.
fn side_by_side<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, HttpFault> + Sync,
) -> Result<Vec<T>, HttpFault> {
    let next = AtomicUsize::new(0);
    let run = || -> Result<Vec<(usize, T)>, HttpFault> {
        let mut made = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(made);
            }
            made.push((index, work(index)?));
        }
    };
    let mut made = thread::scope(|scope| {
        let threads: Vec<_> = (0..REQUESTS_AT_ONCE).map(|_| scope.spawn(run)).collect();
        let mut made = Vec::new();
        for thread in threads {
            made.extend(thread.join().expect("signing in does not panic")?);
        }
        Ok(made)
    })?;
    made.sort_by_key(|(index, _)| *index);
    Ok(made.into_iter().map(|(_, item)| item).collect())
}

fn is_current(base: &Base, account: &Account) -> bool {
    base.get("/api/user/info", ("token", &account.token))
        .is_ok_and(|user| user["id"] == account.id)
}

/// Logs in, after registering if need be. Each account comes from a place of its own: servers limit
/// how often one address may log in, and a crowd does not come from one.
fn sign_in(base: &Base, index: usize, name: &str) -> Result<Account, HttpFault> {
    let salt = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as usize);
    let base = base.asked_from(salt.wrapping_mul(101).wrapping_add(index));
    let registration = json!({"username": name, "password": PASSWORD, "repassword": PASSWORD});
    // The account may be there from an earlier run; whether it is ours shows when logging in.
    let _ = post_patiently(&base, "/api/reg", &registration);
    let user = post_patiently(
        &base,
        "/api/login",
        &json!({"username": name, "password": PASSWORD}),
    )?;
    Ok(Account {
        id: user["id"].as_i64().unwrap_or_default(),
        token: user["token"].as_str().unwrap_or_default().to_owned(),
        coins_before: None,
    })
}

/// A server whose password hashes queue up says so, and is asked again.
fn post_patiently(base: &Base, path: &str, body: &Value) -> Result<Value, HttpFault> {
    for _ in 1..BUSY_TRIES {
        match base.post(path, NO_HEADER, body) {
            Err(fault) if fault.status == Some(503) => thread::sleep(BUSY_PAUSE),
            outcome => return outcome,
        }
    }
    base.post(path, NO_HEADER, body)
}
