//! The words of one command, and the words for single values.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;

use liveroom::domain::{
    Gift, GiftReceipt, KickReason, Live, LiveStatus, ModeValue, Modes, NetChanges, Offset,
    Position, Presence, PresenceAction, Profile, Reject, Reply, RequestId, Role, RoomEvent,
    RoomMode, SocketId, Timestamp,
};

/// Words not yet used. `key=value` words may stand anywhere after the verb.
pub struct Words {
    plain: VecDeque<String>,
    keyed: Vec<(String, String)>,
}

impl Words {
    /// Words are parted by spaces; "…" is one word, whatever is in it.
    pub fn split(line: &str) -> Result<Self, String> {
        let mut words = Self {
            plain: VecDeque::new(),
            keyed: Vec::new(),
        };
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let end;
            if let Some(quoted) = rest.strip_prefix('"') {
                let length = quoted.find('"').ok_or("a quote is not closed")?;
                words.plain.push_back(quoted[..length].into());
                end = length + 2;
            } else {
                end = rest.find(' ').unwrap_or(rest.len());
                match rest[..end].split_once('=') {
                    Some((key, value)) => words.keyed.push((key.into(), value.into())),
                    None => words.plain.push_back(rest[..end].into()),
                }
            }
            rest = rest[end..].trim_start();
        }
        Ok(words)
    }

    pub fn next(&mut self, wanted: &str) -> Result<String, String> {
        self.optional()
            .ok_or_else(|| format!("{wanted} is missing"))
    }

    pub fn optional(&mut self) -> Option<String> {
        self.plain.pop_front()
    }

    pub fn key(&mut self, key: &str) -> Option<String> {
        let place = self.keyed.iter().position(|(known, _)| known == key)?;
        Some(self.keyed.remove(place).1)
    }

    pub fn number<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        self.key(key).map(|value| number(&value)).transpose()
    }

    pub fn request_id(&mut self) -> Result<Option<RequestId>, String> {
        self.key("id")
            .map(|id| RequestId::parse(&id).ok_or(format!("{id} is no request id")))
            .transpose()
    }

    /// As a decoder reads it from a command: one that cannot be is a fault of the command.
    pub fn request_id_or_fault(&mut self) -> Result<Option<RequestId>, Reject> {
        self.request_id()
            .map_err(|_| Reject::BadRequest { what: "request_id" })
    }

    /// `since=3`, or `since=f:3` for another epoch than the scripts' own. As a decoder reads it
    /// from a command: one that cannot be is a fault of the command.
    pub fn since(&mut self) -> Result<Option<Position>, Reject> {
        let Some(since) = self.key("since") else {
            return Ok(None);
        };
        let (epoch, offset) = since.split_once(':').unwrap_or((EPOCH, &since));
        let offset = number(offset).map_err(|_| Reject::BadRequest { what: "since" })?;
        Ok(Some(Position {
            epoch: epoch.into(),
            offset,
        }))
    }

    /// The number in a word such as `c7`.
    pub fn label(&mut self, letter: char) -> Result<i64, String> {
        let word = self.next("a label")?;
        number(
            word.strip_prefix(letter)
                .ok_or(format!("{word} does not start with {letter}"))?,
        )
    }

    /// Whether the word is there, anywhere.
    pub fn flag(&mut self, flag: &str) -> bool {
        let place = self.plain.iter().position(|word| word == flag);
        place.and_then(|place| self.plain.remove(place)).is_some()
    }

    /// `Err` if there are words that nobody asked for.
    pub fn end(self) -> Result<(), String> {
        match (self.plain.front(), self.keyed.first()) {
            (None, None) => Ok(()),
            (Some(word), _) | (None, Some((word, _))) => Err(format!("what is {word} for?")),
        }
    }
}

/// The epoch of every script.
const EPOCH: &str = "e";

pub fn position(offset: Offset) -> Position {
    Position {
        epoch: EPOCH.into(),
        offset,
    }
}

pub fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("{word} is no number that fits"))
}

/// `250ms`, `30s`, `1.5s` or `5m`.
pub fn duration_ms(word: &str) -> Result<i64, String> {
    let (amount, unit_ms) = if let Some(amount) = word.strip_suffix("ms") {
        (amount, 1.0)
    } else if let Some(amount) = word.strip_suffix('s') {
        (amount, 1_000.0)
    } else if let Some(amount) = word.strip_suffix('m') {
        (amount, 60_000.0)
    } else {
        return Err(format!("{word} is no duration"));
    };
    Ok((number::<f64>(amount)? * unit_ms) as i64)
}

const STATUSES: [(LiveStatus, &str); 4] = [
    (LiveStatus::Scheduled, "scheduled"),
    (LiveStatus::OnAir, "on_air"),
    (LiveStatus::Paused, "paused"),
    (LiveStatus::Ended, "ended"),
];

pub fn status(word: &str) -> Result<LiveStatus, String> {
    let known = STATUSES.iter().find(|(_, name)| *name == word);
    known
        .map(|(status, _)| *status)
        .ok_or(format!("{word} is no status"))
}

pub fn status_word(status: LiveStatus) -> &'static str {
    STATUSES
        .iter()
        .find(|(known, _)| *known == status)
        .map_or("?", |(_, name)| name)
}

/// How much longer something lasts: `for=9s`, or `for=ever`.
pub fn until(until: Option<Timestamp>, now: Timestamp) -> String {
    match until {
        Some(until) => format!("for={}ms", until.since(now)),
        None => "for=ever".into(),
    }
}

pub fn kick_reason(reason: &KickReason, now: Timestamp) -> String {
    match reason {
        KickReason::Operator { until } => {
            format!("by an operator {}", self::until(Some(*until), now))
        }
        KickReason::Banned { until, reason } => {
            let reason = reason.as_deref().unwrap_or("-");
            format!("banned {} reason={reason}", self::until(*until, now))
        }
        KickReason::IdentityChanged => "for another identity".into(),
        KickReason::RoomRestarted => "for a restart".into(),
    }
}

/// The gifts that scripts know, and their prices.
pub const CATALOGUE: [(&str, i64); 2] = [("rose", 7), ("ring", 520)];

/// ` coin=` and the price, if that is not the one of the catalogue.
pub fn other_price(gift: &Gift) -> String {
    let listed = CATALOGUE.iter().find(|(name, _)| *name == gift.name);
    match listed {
        Some((_, price)) if *price == gift.price.get() => String::new(),
        _ => format!(" coin={}", gift.price),
    }
}

pub fn place(offset: Option<Offset>) -> String {
    offset.map_or("-".into(), |offset| offset.to_string())
}

pub fn reject(reject: Reject, now: Timestamp) -> String {
    match reject {
        Reject::Muted { until, .. } => format!("muted {}", self::until(until, now)),
        Reject::Banned { until } => format!("banned {}", self::until(until, now)),
        Reject::Kicked { retry_after_ms } => format!("kicked retry_after_ms={retry_after_ms}"),
        Reject::LiveNotStarted => "live_not_started".into(),
        Reject::LiveEnded => "live_ended".into(),
        Reject::UserDisabled => "user_disabled".into(),
        Reject::GiftNotFound => "gift_not_found".into(),
        Reject::GiftWithdrawn => "gift_withdrawn".into(),
        Reject::GiftPriceChanged => "gift_price_changed".into(),
        Reject::CoinsInsufficient => "coins_insufficient".into(),
        Reject::LiveCoinsFull => "live_coins_full".into(),
        Reject::NotInRoom => "not_in_room".into(),
        Reject::CommentRefused { .. } => "comment_refused".into(),
        Reject::CommentTooLong { chars_max } => format!("comment_too_long chars_max={chars_max}"),
        Reject::BadRequest { what } => format!("bad_request {what}"),
        Reject::Frozen => "frozen".into(),
        Reject::FollowersOnly {
            retry_after_ms: None,
        } => "followers_only".into(),
        Reject::FollowersOnly {
            retry_after_ms: Some(retry_after_ms),
        } => format!("followers_only retry_after_ms={retry_after_ms}"),
        Reject::GiftersOnly => "gifters_only".into(),
        Reject::SlowMode { retry_after_ms } => format!("slow_mode retry_after_ms={retry_after_ms}"),
        Reject::GiftsPaused => "gifts_paused".into(),
        Reject::CommentDuplicate => "comment_duplicate".into(),
        Reject::CommentFiltered => "comment_filtered".into(),
        Reject::DuplicateConflict => "duplicate_conflict".into(),
        Reject::RateLimited { retry_after_ms } => {
            format!("rate_limited retry_after_ms={retry_after_ms}")
        }
        Reject::Busy { retry_after_ms } => format!("busy retry_after_ms={retry_after_ms}"),
        // The rest is decided before a room is asked.
        other => format!("{other:?}"),
    }
}

pub fn presence(presence: &Presence) -> String {
    let action = match presence.action {
        PresenceAction::Join => "join",
        PresenceAction::Leave => "leave",
    };
    let mut line = format!("{action} {} count={}", presence.user.name, presence.count);
    if let Some(users) = &presence.users {
        line.push_str(&format!(" users={}", names(users)));
    }
    let clients = if presence.clients.is_empty() {
        "-".into()
    } else {
        presence.clients.join(",")
    };
    line.push_str(&format!(" clients={clients}"));
    if let Some(NetChanges { joined, left }) = presence.net_changes {
        line.push_str(&format!(" joined={joined} left={left}"));
    }
    line
}

pub fn names(users: &[Arc<Profile>]) -> String {
    let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
    if names.is_empty() {
        "-".into()
    } else {
        names.join(",")
    }
}

pub fn event(event: &RoomEvent) -> String {
    match event {
        RoomEvent::Comment(comment) => {
            format!(
                "comment c{} {} {:?}",
                comment.id,
                comment.author.name,
                comment.text.as_str()
            )
        }
        RoomEvent::Gift { order, receipt } => {
            let GiftReceipt {
                record_id,
                live_coin,
                ..
            } = receipt;
            let (giver, gift, count) = (&order.giver.name, &order.gift.name, order.count.get());
            let price = other_price(&order.gift);
            format!("gift r{record_id} {giver} {count} {gift}{price} live={live_coin}")
        }
        RoomEvent::Live { status, title, .. } => format!("live {} {title:?}", status_word(*status)),
        RoomEvent::Removed { comment_id, .. } => format!("removed c{comment_id}"),
        RoomEvent::Purged { comment_ids, .. } => {
            let ids: Vec<String> = comment_ids.iter().map(|id| format!("c{id}")).collect();
            format!("removed {}", ids.join(","))
        }
        RoomEvent::Notice { text, .. } => format!("notice {text:?}"),
        RoomEvent::Pinned { pin, .. } => match &pin.comment {
            Some(comment) => format!("pinned c{} action={}", comment.id, pin.action),
            None => format!("pinned nothing action={}", pin.action),
        },
        RoomEvent::Modes { changed, .. } => {
            format!("modes v{} {}", changed.version, modes(&changed.modes))
        }
        RoomEvent::Other(other) => format!("{} {}", other.name, other.body),
    }
}

pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Joined {
            position,
            recovered,
            count,
            live,
            role,
            pinned,
            modes: in_force,
            ..
        } => {
            let Live {
                status,
                coin,
                look_count,
                ..
            } = live.as_ref();
            let (at, status) = (position.offset, status_word(*status));
            let recovered = if *recovered { " recovered" } else { "" };
            let role = match role {
                Role::Viewer => String::new(),
                role => format!(" as {}", role.name()),
            };
            let pinned = pinned.as_ref();
            let pinned = pinned.map_or(String::new(), |comment| format!(" pinned=c{}", comment.id));
            let modes = match *in_force == Modes::default() {
                true => String::new(),
                false => format!(" modes {}", modes(in_force)),
            };
            format!(
                "joined at={at} count={count} live={status} coin={coin} looks={look_count}{recovered}{role}{modes}{pinned}"
            )
        }
        Reply::Left { .. } => "left".into(),
        Reply::Commented {
            comment_id,
            offset,
            shown,
        } => {
            let shown = shown.as_ref();
            let shown = shown.map_or(String::new(), |text| format!(" as {:?}", text.as_str()));
            format!("commented c{comment_id} at={}{shown}", place(*offset))
        }
        Reply::SampledOut { comment_id } => format!("sampled out c{comment_id}"),
        Reply::Held {
            comment_id,
            delay_ms,
        } => match delay_ms {
            Some(delay_ms) => format!("held c{comment_id} delay={delay_ms}ms"),
            None => format!("held c{comment_id}"),
        },
        Reply::Gifted {
            record_id,
            offset,
            coin,
        } => {
            format!("gifted r{record_id} at={} coin={coin}", place(*offset))
        }
    }
}

/// The modes that are not off.
pub fn modes(modes: &Modes) -> String {
    let on = RoomMode::ALL.into_iter().filter_map(|mode| {
        let value = modes.get(mode);
        let value_word = match value {
            ModeValue::Number(number) => number.to_string(),
            ModeValue::Flag(on) => on.to_string(),
        };
        (value != Modes::default().get(mode)).then(|| format!("{}={value_word}", mode.name()))
    });
    let on: Vec<String> = on.collect();
    if on.is_empty() {
        "off".into()
    } else {
        on.join(" ")
    }
}

pub fn or_dash(sockets: &[SocketId]) -> String {
    if sockets.is_empty() {
        "-".into()
    } else {
        sockets.join(",")
    }
}
