//! Attempts of operators that are refused before they become an action: rows of the audit.
//!
//! A refused request of an operator is a row at once, up to a rate. Failed logins, bearer tokens
//! that are none, and what an operator is refused beyond that rate are counted, each for a minute:
//! strangers can cause them, and must not fill the audit. What is counted is a row at the end of its
//! minute, on each node, and when the node stops. A node that dies loses the counts of its last
//! minute.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{error, warn};
use serde_json::json;

use super::operator::Operator;
use super::tries::KeyedBuckets;
use crate::clock::Clock;
use crate::domain::{Actor, BucketRate, Role, Timestamp};
use crate::storage::{AuditRow, Store};

/// Different counts of one minute at most; what does not fit is counted together, without account
/// and address. Each takes about 100 bytes.
const COUNTS_MAX: usize = 4_096;

/// Characters of an account's name at most: longer ones are of no account.
const NAME_CHARS_MAX: usize = 32;

const MINUTE_MS: i64 = 60_000;

/// Time between two looks for minutes that are over.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Rows of refused requests of one operator before they are only counted.
const REFUSAL_RATE: BucketRate = BucketRate {
    burst: 100,
    refill: 100,
    per_ms: 60_000,
};

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Counted {
    /// Logins to an account; `None`: a name that no account has.
    Login(Option<String>),
    Token,
    /// Of one operator, as the audit names it.
    Refused(&'static str, i64),
    /// What did not fit.
    Others,
}

type CountKey = (i64, Counted, Option<IpAddr>);

/// The attempts of this node that are not yet in the audit.
pub struct Attempts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    refusals: KeyedBuckets,
    /// How many, and the operator of refused requests.
    counts: Mutex<BTreeMap<CountKey, (u64, Option<Actor>)>>,
}

impl Attempts {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            refusals: KeyedBuckets::new(REFUSAL_RATE),
            counts: Mutex::default(),
        }
    }

    /// Begins to add the counts of minutes that are over to the audit, on the calling thread and
    /// until its system ends.
    pub fn start(self: &Arc<Self>) {
        let attempts = self.clone();
        actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(FLUSH_EVERY).await;
                attempts.flush(false).await;
            }
        });
    }

    /// Counts a login as this manager that failed. A name that no account can have is not kept:
    /// people type passwords there.
    pub fn login_failed(&self, name: &str, address: IpAddr) {
        let is_name = (1..=NAME_CHARS_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        let name = is_name.then(|| name.to_ascii_lowercase());
        self.count(Counted::Login(name), Some(address), None);
    }

    /// Counts a bearer token that is none.
    pub fn token_refused(&self, address: IpAddr) {
        self.count(Counted::Token, Some(address), None);
    }

    /// Adds a refused request to the audit; `url`: of the URL table. The request is refused all the
    /// same if the store is away.
    pub async fn refused(
        &self,
        operator: &Operator,
        address: IpAddr,
        method: &str,
        url: &str,
        code: &'static str,
    ) {
        let actor = Actor::Operator(operator.id);
        let (kind, id) = Actor::Operator(operator.id).kind_and_id();
        let now = self.clock.now();
        if self.refusals.take((kind, id), now).is_err() {
            self.count(Counted::Refused(kind, id), Some(address), Some(actor));
            return;
        }
        let row = AuditRow {
            actor: Some(actor),
            role: Role::of_operator(operator.permissions).name(),
            address: Some(address),
            action: format!("{method} {url}").into(),
            result: code,
            ..AuditRow::of_nobody("", now)
        };
        if let Err(fault) = self.store.add_audit_rows(vec![row]).await {
            error!("refusal not in the audit: {method} {url} code={code} error={fault}");
        }
    }

    fn count(&self, counted: Counted, address: Option<IpAddr>, actor: Option<Actor>) {
        let minute = self.clock.now().0.div_euclid(MINUTE_MS);
        self.add((minute, counted, address), 1, actor);
    }

    fn add(&self, key: CountKey, count: u64, actor: Option<Actor>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = counts.len() < COUNTS_MAX || counts.contains_key(&key);
        let (key, actor) = match key {
            key if is_room => (key, actor),
            // One more for each minute that could not be written yet: the same as the last one.
            (minute, ..) => ((minute, Counted::Others, None), None),
        };
        counts.entry(key).or_insert((0, actor)).0 += count;
    }

    /// Adds the counts of minutes that are over, or all, to the audit. What the store does not take
    /// is kept for the next time.
    pub async fn flush(&self, all: bool) {
        let now = self.clock.now();
        let minute = if all {
            i64::MAX
        } else {
            now.0.div_euclid(MINUTE_MS)
        };
        let due = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let later = counts.split_off(&(minute, Counted::Login(None), None));
            std::mem::replace(&mut *counts, later)
        };
        if due.is_empty() {
            return;
        }
        let rows = due
            .iter()
            .map(|(key, (count, actor))| row(key, *count, *actor));
        if let Err(fault) = self.store.add_audit_rows(rows.collect()).await {
            warn!(
                "counted attempts not in the audit yet: counts={} error={fault}",
                due.len()
            );
            for (key, (count, actor)) in due {
                self.add(key, count, actor);
            }
        }
    }
}

/// The row of a count, at the end of its minute.
fn row((minute, counted, address): &CountKey, count: u64, actor: Option<Actor>) -> AuditRow {
    let at = Timestamp((minute + 1).saturating_mul(MINUTE_MS) - 1);
    let (action, arguments, result) = match counted {
        Counted::Login(name) => (
            "login",
            json!({"name": name, "count": count}),
            "login_failed",
        ),
        Counted::Token => ("use_token", json!({"count": count}), "token_wrong"),
        Counted::Refused(..) => ("request", json!({"count": count}), "refused"),
        Counted::Others => (
            "login",
            json!({"others": true, "count": count}),
            "login_failed",
        ),
    };
    AuditRow {
        actor,
        address: *address,
        arguments,
        result,
        ..AuditRow::of_nobody(action, at)
    }
}
