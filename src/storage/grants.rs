//! Coins given and taken by operators.

use super::ActAuthor;
use crate::domain::{Coins, RequestId, Timestamp, UserId};

/// A change of a balance by an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoinGrant {
    pub user_id: UserId,
    /// Positive adds, negative takes; never 0.
    pub delta: Coins,
    pub request_id: RequestId,
    pub at: Timestamp,
    pub by: ActAuthor,
}

/// The outcome of a [`CoinGrant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantOutcome {
    /// `duplicate`: it had been granted before under this `request_id`, nothing moved now; `coin`
    /// is the balance right after the original grant.
    Granted {
        coin: Coins,
        duplicate: bool,
    },
    UserNotFound,
    /// The balance would become negative or exceed [`Coins::MAX`].
    CoinsInsufficient,
    /// The `request_id` was used before with another user or delta.
    Conflict,
}
