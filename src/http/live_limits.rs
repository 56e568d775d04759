//! How many lives one user may have, and how often it may create and change them.

use crate::config::LimitsConfig;
use crate::domain::{BucketRate, Timestamp, UserId};

use super::error::ApiError;
use super::tries::{KeyedBuckets, take_of_user};

/// Changes of the terms of one user a minute: each has a filter built.
const TERMS_CHANGES_PER_MIN: u32 = 10;

/// The limits of one user on its lives. Rates are counted by each node for itself.
pub struct LiveLimits {
    not_ended_max: u32,
    creations: KeyedBuckets,
    status_changes: KeyedBuckets,
    terms_changes: KeyedBuckets,
}

impl LiveLimits {
    /// The limits that the configuration gives each user. It may use those of a minute at once.
    pub fn new(limits: &LimitsConfig) -> Self {
        let per_min = |count| {
            KeyedBuckets::new(BucketRate {
                burst: count,
                refill: count,
                per_ms: 60_000,
            })
        };
        Self {
            not_ended_max: limits.lives_per_user,
            creations: per_min(limits.lives_per_min),
            status_changes: per_min(limits.status_changes_per_min),
            terms_changes: per_min(TERMS_CHANGES_PER_MIN),
        }
    }

    pub(super) fn take_creation(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        take_of_user(&self.creations, user, now)
    }

    pub(super) fn take_status_change(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        take_of_user(&self.status_changes, user, now)
    }

    pub(super) fn take_terms_change(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        take_of_user(&self.terms_changes, user, now)
    }

    /// Refuses one more live to a user who has so many that have not ended. Requests of one moment
    /// do not see each other's lives: a user may exceed the maximum by what it may create at once.
    pub(super) fn admit_one_more(&self, not_ended_count: i64) -> Result<(), ApiError> {
        if not_ended_count >= i64::from(self.not_ended_max) {
            return Err(ApiError::Refused("未结束的直播间过多，请先结束一些"));
        }
        Ok(())
    }
}
