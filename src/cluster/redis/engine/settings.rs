//! Settings that must be as nodes need them: those of Redis, and the secret of tokens, which all
//! nodes share. Those that are not are logged, for an operator to mend.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use log::{debug, warn};
use sha2::Sha256;

use super::super::address::Address;
use super::super::connection::{RedisConnection, Server};
use crate::config::Secret;
use crate::domain::NodeId;

/// Reads the settings of each server from its answer to `INFO`, which those that refuse `CONFIG`
/// give too. `None` if a server does not answer.
pub async fn faults_of(
    connection: RedisConnection,
    servers: BTreeSet<Server>,
    timeout: Duration,
) -> Option<BTreeSet<String>> {
    let mut faults = BTreeSet::new();
    for server in servers {
        match connection.info(&server, timeout).await {
            Ok(info) => {
                let name = server
                    .map_or_else(String::new, |(host, port)| format!("server={host}:{port} "));
                faults.extend(
                    faults_in(&info)
                        .into_iter()
                        .map(|fault| format!("{name}{fault}")),
                );
            }
            // What is not known is not mended.
            Err(error) => {
                debug!("settings of redis not read: error={error}");
                return None;
            }
        }
    }
    Some(faults)
}

/// The settings in an answer to `INFO` that lose what nodes share.
fn faults_in(info: &str) -> Vec<String> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let mut faults = Vec::new();
    if let Some(policy) = field("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        faults.push(format!(
            "maxmemory-policy={policy} expected=noeviction reason=\"logins and rooms are forgotten when memory is full\""
        ));
    }
    if field("aof_enabled") == Some("0") {
        faults.push(
            "appendonly=no expected=yes reason=\"a restart ends each room's epoch and forgets logins by other programs\""
                .to_owned(),
        );
    }
    faults
}

/// Shows other nodes whether they have the secret with which this node signs. It is a signature of the node's name:
/// whoever reads Redis can test guesses of the secret by it as well as by any token, and tokens are
/// in Redis too; it is no token itself.
pub fn secret_check(secret: &Secret, node: NodeId) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(format!("liveroom jwt_secret of node {node}").as_bytes());
    mac.finalize()
        .into_bytes()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The faults of the settings of Redis that were logged.
pub struct SettingFaults {
    address: Arc<Address>,
    logged: BTreeSet<String>,
}

impl SettingFaults {
    pub fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            logged: BTreeSet::new(),
        }
    }

    /// Logs each fault once, and again only after it was mended.
    pub fn read(&mut self, faults: BTreeSet<String>) {
        for fault in faults.difference(&self.logged) {
            warn!(
                "redis has settings that lose data: address={} {fault}",
                self.address
            );
        }
        self.logged = faults;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_lose_data_are_found_in_an_answer_to_info() {
        let info = |policy: &str, aof: &str| {
            format!(
                "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n# Persistence\r\naof_enabled:{aof}\r\n"
            )
        };
        assert!(faults_in(&info("noeviction", "1")).is_empty());
        let faults = faults_in(&info("allkeys-lru", "0"));
        assert!(
            faults[0].starts_with("maxmemory-policy=allkeys-lru ")
                && faults[1].starts_with("appendonly=no ")
        );
        assert!(
            faults_in("# Server\r\nredis_version:7.0.15\r\n").is_empty(),
            "what is not said is no fault"
        );
    }

    #[test]
    fn the_check_of_a_secret_differs_by_secret_and_node_and_does_not_contain_it() {
        let secret_check = |secret, node| secret_check(&Secret::new(secret), node);
        let check = secret_check("correct-horse", NodeId(1));
        assert_eq!(check, secret_check("correct-horse", NodeId(1)));
        assert_eq!(check.len(), 16);
        assert_ne!(check, secret_check("correct-horse", NodeId(2)));
        assert_ne!(check, secret_check("correct-horsf", NodeId(1)));
    }
}
