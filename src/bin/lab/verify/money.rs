//! Whether coins are where the gifts say: balances, lives and the server's own proof.

use std::collections::{BTreeMap, HashSet};

use crate::commands::{CommandKind, Fate};
use crate::driver::Driver;
use crate::judge;
use crate::room_log::Content;
use crate::setup::Setup;

/// The coins that must have moved, and those that may have: a gift whose giver's connection was cut
/// before the answer came, and that no member was there to receive, may or may not have been given.
#[derive(Debug, Default, Clone, Copy)]
struct Moved {
    certain: i64,
    possible: i64,
}

impl Moved {
    fn explains(self, coins: i64) -> bool {
        (self.certain..=self.certain.saturating_add(self.possible)).contains(&coins)
    }

    fn words(self) -> String {
        match self.possible {
            0 => format!("{}", self.certain),
            possible => format!(
                "{} to {}",
                self.certain,
                self.certain.saturating_add(possible)
            ),
        }
    }
}

pub fn check(driver: &mut Driver, setup: &Setup) {
    if setup.gifts.is_empty() {
        return;
    }
    check_announced_totals(driver);
    let (by_room, by_user) = moved(driver, setup);
    for (room, site) in setup.rooms.iter().enumerate() {
        let expected = by_room.get(&room).copied().unwrap_or_default();
        match setup.live_coins(site.live_id) {
            Ok(coins) if expected.explains(coins) => {}
            Ok(coins) => driver.offences.add(judge::MONEY, || {
                format!(
                    "live {} has {coins} coins, its gifts make {}",
                    site.live_id,
                    expected.words()
                )
            }),
            Err(fault) => driver.offences.add(judge::MONEY, || fault.to_string()),
        }
    }
    for (user, account) in setup.users.iter().enumerate() {
        let Some(before) = account.coins_before else {
            continue;
        };
        let expected = by_user.get(&account.id).copied().unwrap_or_default();
        match setup.balance(account) {
            Ok(after) if expected.explains(before - after) => {}
            Ok(after) => driver.offences.add(judge::MONEY, || {
                format!(
                    "user {user} spent {}, its gifts cost {}",
                    before - after,
                    expected.words()
                )
            }),
            Err(fault) => driver.offences.add(judge::MONEY, || fault.to_string()),
        }
    }
    match setup.ledger_proof() {
        Some(Ok(proof)) if proof["balanced"] == true => {}
        Some(Ok(proof)) => driver.offences.add(judge::MONEY, || {
            format!("the server's own proof fails: {}", proof["faults"])
        }),
        Some(Err(fault)) => driver.offences.add(judge::MONEY, || fault.to_string()),
        None => {}
    }
}

/// Coins by room, and by user id.
fn moved(driver: &Driver, setup: &Setup) -> (BTreeMap<usize, Moved>, BTreeMap<i64, Moved>) {
    let (mut by_room, mut by_user) = (
        BTreeMap::<usize, Moved>::new(),
        BTreeMap::<i64, Moved>::new(),
    );
    let mut counted: HashSet<&str> = HashSet::new();
    let mut add = |room: usize, user: i64, certain: i64, possible: i64| {
        for moved in [
            by_room.entry(room).or_default(),
            by_user.entry(user).or_default(),
        ] {
            moved.certain = moved.certain.saturating_add(certain);
            moved.possible = moved.possible.saturating_add(possible);
        }
    };
    for (_, command) in driver.commands.iter() {
        let CommandKind::Gift { gift, num } = command.kind else {
            continue;
        };
        let coins = setup.gifts[gift].price.saturating_mul(num);
        let user = driver.account(command.member as usize).id;
        match &command.fate {
            Fate::Accepted { id, .. } if counted.insert(id) => {
                add(command.room as usize, user, coins, 0)
            }
            Fate::Unknown if command.retry_of.is_none() => {
                add(command.room as usize, user, 0, coins)
            }
            _ => {}
        }
    }
    // An announced gift was given, whether or not its giver was still there for the answer.
    for (room, state) in driver.rooms.iter().enumerate() {
        for (_, event) in state.log.iter() {
            if let Content::Gift {
                id, user_id, coins, ..
            } = &event.content
                && counted.insert(id)
            {
                add(room, *user_id, *coins, coins.saturating_neg());
            }
        }
    }
    (by_room, by_user)
}

/// Each gift announced the live's total after it: in the order of the books, the one before plus
/// its own coins. Where a server has several nodes, gifts of one moment may be announced in another
/// order than that of the books.
fn check_announced_totals(driver: &mut Driver) {
    for room in &driver.rooms {
        let (mut announced, mut next, mut is_whole) = (Vec::new(), 0, true);
        for (offset, event) in room.log.iter() {
            is_whole &= offset == next || announced.is_empty();
            next = offset + 1;
            if let Content::Gift {
                coins,
                live_coin,
                id,
                ..
            } = &event.content
            {
                announced.push((*live_coin, *coins, id));
            }
        }
        announced.sort_unstable();
        for pair in announced.windows(2) {
            let ((before, ..), (total, coins, id)) = (pair[0], pair[1]);
            let expected = before.saturating_add(coins);
            // In a hole there may have been others.
            if total != expected && (is_whole || total < expected) {
                driver.offences.add(judge::MONEY, || {
                    format!("gift {id} of {coins} coins announced a total of {total} after one of {before}")
                });
            }
        }
    }
}
