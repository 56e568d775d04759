//! The part of the configuration that a room's domain needs.

use crate::config::Config;
use crate::domain::{BucketRate, PresenceSettings, RoomSettings};

/// How long a comment's `request_id` is remembered, and how many of one room: enough for the 40
/// comments a second that are shown of the crowd's and the streamer's beside them.
const DEDUPE_MS: i64 = 300_000;
const DEDUPE_MAX: usize = 16_384;

/// The limits that `config` gives a room. The streamer is never limited more than a viewer.
pub fn room_settings(config: &Config) -> RoomSettings {
    let (limits, presence) = (&config.limits, &config.presence);
    RoomSettings {
        comment_rate: BucketRate {
            burst: limits.comment_burst,
            refill: limits.comments_per_30s,
            per_ms: 30_000,
        },
        streamer_comment_rate: BucketRate {
            burst: limits.streamer_comment_burst.max(limits.comment_burst),
            refill: limits
                .streamer_comments_per_30s
                .max(limits.comments_per_30s),
            per_ms: 30_000,
        },
        crowd_events_per_s: limits.crowd_events_per_s,
        join_rate: BucketRate {
            burst: limits.join_burst,
            refill: limits.joins_per_s,
            per_ms: 1_000,
        },
        presence: PresenceSettings {
            full_users_max: presence.full_users_max,
            merged_users_max: presence.merged_users_max,
            notable_users_max: presence.notable_users_max,
            merge_ms: i64::from(presence.merge_ms.get()),
            list_rate: BucketRate {
                burst: presence.list_entries_burst,
                refill: presence.list_entries_per_s,
                per_ms: 1_000,
            },
        },
        leave_grace_ms: i64::from(presence.leave_grace_ms.get()),
        dedupe_ms: DEDUPE_MS,
        dedupe_max: DEDUPE_MAX,
        gifts_in_flight_max: limits.gifts_in_flight,
        order_knows_gifts: !config.cluster.redis_url.is_empty(),
    }
}
