//! The events of a room, put together from those that its members received.
//!
//! The first member that receives an event has it parsed and kept; every later one only compares
//! bytes. So each delivery is verified in full for the price of a comparison.

use std::collections::HashMap;

use serde::Deserialize;

use crate::lane::Lane;

/// A jump of offsets above this is taken for nonsense rather than for a gap.
const JUMP_MAX: u64 = 1_000_000;

/// The events of one room, by offset.
#[derive(Debug, Default)]
pub struct RoomLog {
    /// The offset before the first event that could be received.
    base: Option<u64>,
    epoch: Option<Box<str>>,
    events: Vec<Option<RoomEvent>>,
    /// Where the removals of comments were first received, by the comments' ids.
    removals: HashMap<String, u64>,
}

#[derive(Debug)]
pub struct RoomEvent {
    body: Box<[u8]>,
    pub content: Content,
    /// When its sender should have sent it, for latency; `u64::MAX` if that is unknown.
    pub intended_ns: u64,
    /// When the first member received it.
    pub first_ns: u64,
    /// The server's time of it, in milliseconds; 0 if it has none.
    pub at_ms: i64,
    /// The member who sent it.
    pub sender: u32,
    pub lane: Lane,
    /// How many members are still to receive it before a closed loop goes on; 0 if none waits for
    /// it.
    pub awaited: usize,
}

impl RoomEvent {
    fn new(body: Box<[u8]>, content: Content, at_ms: i64) -> Self {
        let lane = if matches!(content, Content::Comment { .. }) {
            Lane::Crowd
        } else {
            Lane::Money
        };
        Self {
            body,
            content,
            intended_ns: u64::MAX,
            first_ns: 0,
            at_ms,
            sender: u32::MAX,
            lane,
            awaited: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// `command` is the number its text is marked with.
    Comment {
        id: String,
        command: Option<usize>,
    },
    Gift {
        id: String,
        user_id: i64,
        coins: i64,
        live_coin: i64,
    },
    /// Comments that were taken down, by their ids.
    Removed {
        ids: Vec<String>,
    },
    Modes(RoomModes),
    /// State changes and whatever else has an offset.
    Other,
}

impl Content {
    /// The command that a comment's text is marked with.
    pub fn command(&self) -> Option<usize> {
        match self {
            Content::Comment { command, .. } => *command,
            Content::Gift { .. } | Content::Removed { .. } | Content::Modes(_) | Content::Other => {
                None
            }
        }
    }
}

/// As much of a room's modes as the lab sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomModes {
    pub frozen: bool,
    /// Seconds between two comments of a viewer; 0 if it need not wait.
    pub slow_s: i64,
    /// Minutes that a viewer must have followed the streamer; below 0 if it need not.
    pub followers_min: i64,
    pub gifters_coins: i64,
}

impl RoomModes {
    pub const OFF: Self = Self {
        frozen: false,
        slow_s: 0,
        followers_min: -1,
        gifters_coins: 0,
    };
}

/// The result of comparing a received event with the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Sight {
    /// No member had received it.
    First,
    /// As others received it.
    Known,
    /// The removal of the comment that others received at this offset: what a server replays in
    /// the comment's place.
    TakenDown,
    /// Others received something else at this offset.
    Different,
    /// Of another room.
    Foreign {
        live_id: i64,
    },
    /// No event of this room can have this epoch or offset.
    Impossible(&'static str),
    Unreadable,
}

/// As much of a recoverable event as the lab reads. Whatever else it has is its own affair.
#[derive(Deserialize)]
struct Body {
    live_id: i64,
    epoch: String,
    #[serde(default)]
    id: Option<serde_json::Value>,
    #[serde(default)]
    content: String,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    num: i64,
    #[serde(default)]
    gift_coin: i64,
    #[serde(default)]
    live_coin: i64,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    at: i64,
    #[serde(default)]
    frozen: bool,
    #[serde(default)]
    slow_s: i64,
    #[serde(default)]
    followers_min: i64,
    #[serde(default)]
    gifters_coins: i64,
}

#[derive(Deserialize)]
struct User {
    id: i64,
}

impl RoomLog {
    /// A member joined at `offset`. The first to do so says where the log begins.
    pub fn joined_at(&mut self, epoch: &str, offset: u64) -> bool {
        self.base.get_or_insert(offset);
        &**self.epoch.get_or_insert_with(|| epoch.into()) == epoch
    }

    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    /// Gives the next place to a comment that a server without offsets announced.
    pub fn append_marked(&mut self, number: usize) -> u64 {
        let content = Content::Comment {
            id: String::new(),
            command: Some(number),
        };
        self.events
            .push(Some(RoomEvent::new(Box::default(), content, 0)));
        self.last()
    }

    pub fn base(&self) -> u64 {
        self.base.unwrap_or_default()
    }

    /// The offset of the newest event that any member received.
    pub fn last(&self) -> u64 {
        self.base() + self.events.len() as u64
    }

    #[inline]
    pub fn get(&self, offset: u64) -> Option<&RoomEvent> {
        self.events
            .get(offset.checked_sub(self.base() + 1)? as usize)?
            .as_ref()
    }

    pub fn get_mut(&mut self, offset: u64) -> Option<&mut RoomEvent> {
        let index = offset.checked_sub(self.base() + 1)? as usize;
        self.events.get_mut(index)?.as_mut()
    }

    /// Where the removal of a comment was first received.
    pub fn removed_at(&self, comment: &str) -> Option<u64> {
        self.removals.get(comment).copied()
    }

    /// The comments whose removals were received.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.removals.keys().map(String::as_str)
    }

    /// Whether what came again at `offset` was taken down by `position`, so that its removal must
    /// stand in its place.
    pub fn is_removed_by(&self, offset: u64, position: u64) -> bool {
        let Some(Content::Comment { id, .. }) = self.get(offset).map(|event| &event.content) else {
            return false;
        };
        self.removed_at(id)
            .is_some_and(|removal| removal <= position)
    }

    /// All events received, with their offsets.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &RoomEvent)> {
        let first = self.base() + 1;
        self.events
            .iter()
            .enumerate()
            .filter_map(move |(at, event)| event.as_ref().map(|it| (first + at as u64, it)))
    }

    /// One member of the room `live_id` received `body` at `offset`.
    #[inline]
    pub fn receive(&mut self, live_id: i64, name: &[u8], offset: u64, body: &[u8]) -> Sight {
        match self.get(offset) {
            Some(event) if *event.body == *body => Sight::Known,
            _ => self.receive_unknown(live_id, name, offset, body),
        }
    }

    #[cold]
    fn receive_unknown(&mut self, live_id: i64, name: &[u8], offset: u64, body: &[u8]) -> Sight {
        let Ok(read) = serde_json::from_slice::<Body>(body) else {
            return Sight::Unreadable;
        };
        if read.live_id != live_id {
            return Sight::Foreign {
                live_id: read.live_id,
            };
        }
        if self
            .epoch
            .as_deref()
            .is_some_and(|epoch| epoch != read.epoch)
        {
            return Sight::Impossible("another epoch");
        }
        let Some(index) = offset.checked_sub(self.base() + 1) else {
            return Sight::Impossible("an offset from before the room's first member");
        };
        if index > self.events.len() as u64 + JUMP_MAX {
            return Sight::Impossible("an offset a million ahead");
        }
        let index = index as usize;
        if self.events.len() <= index {
            self.events.resize_with(index + 1, || None);
        }
        let content = content_of(name, &read);
        match &self.events[index] {
            // The same event in other words is the same event: dialects may differ in spacing.
            Some(event) if event.content == content && content != Content::Other => Sight::Known,
            Some(event) if takes_down(&content, &event.content) => Sight::TakenDown,
            Some(_) => Sight::Different,
            None => {
                if let Content::Removed { ids } = &content {
                    for id in ids {
                        self.removals.entry(id.clone()).or_insert(offset);
                    }
                }
                self.events[index] = Some(RoomEvent::new(body.into(), content, read.at));
                Sight::First
            }
        }
    }
}

fn takes_down(removal: &Content, event: &Content) -> bool {
    match (removal, event) {
        (Content::Removed { ids }, Content::Comment { id, .. }) => ids.as_slice() == [id.as_str()],
        _ => false,
    }
}

fn content_of(name: &[u8], body: &Body) -> Content {
    let id = match &body.id {
        Some(serde_json::Value::String(id)) => id.clone(),
        Some(id) => id.to_string(),
        None => String::new(),
    };
    match name {
        b"comment" => Content::Comment {
            id,
            command: read_mark(body.content.as_bytes()),
        },
        b"gift" => Content::Gift {
            id,
            user_id: body.user.as_ref().map_or(0, |user| user.id),
            coins: body.gift_coin.saturating_mul(body.num),
            live_coin: body.live_coin,
        },
        b"removed" if body.ids.is_empty() => Content::Removed { ids: vec![id] },
        b"removed" => Content::Removed {
            ids: body.ids.clone(),
        },
        b"modes" => Content::Modes(RoomModes {
            frozen: body.frozen,
            slow_s: body.slow_s,
            followers_min: body.followers_min,
            gifters_coins: body.gifters_coins,
        }),
        _ => Content::Other,
    }
}

/// Starts every text the lab sends, followed by the command's number and a space.
pub const MARK: &str = "lab#";

/// The number a text is marked with.
pub fn read_mark(text: &[u8]) -> Option<usize> {
    let rest = &text[memchr::memmem::find(text, MARK.as_bytes())? + MARK.len()..];
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(live_id: i64, epoch: &str, offset: u64, text: &str) -> Vec<u8> {
        format!(
            r#"{{"user":{{"id":5,"name":"n"}},"content":"{text}","id":"9{offset}","live_id":{live_id},"epoch":"{epoch}","offset":{offset}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn each_event_is_read_once_and_compared_after() {
        let mut log = RoomLog::default();
        assert!(log.joined_at("e", 4));
        let body = comment(2, "e", 5, "lab#17 hello");
        assert_eq!(log.receive(2, b"comment", 5, &body), Sight::First);
        assert_eq!(log.receive(2, b"comment", 5, &body), Sight::Known);
        assert_eq!(
            log.get(5).unwrap().content,
            Content::Comment {
                id: "95".into(),
                command: Some(17)
            }
        );
        assert_eq!(
            log.receive(2, b"comment", 5, &comment(2, "e", 5, "lab#18 other")),
            Sight::Different
        );
        assert_eq!(log.last(), 5);
    }

    fn removed(offset: u64, ids: &str) -> Vec<u8> {
        format!(r#"{{"live_id":2,"id":"95",{ids}"epoch":"e","offset":{offset}}}"#).into_bytes()
    }

    #[test]
    fn a_removal_stands_in_the_place_of_its_comment_and_of_no_other() {
        let mut log = RoomLog::default();
        log.joined_at("e", 4);
        for offset in [5, 6] {
            let body = comment(2, "e", offset, "lab#1 x");
            assert_eq!(log.receive(2, b"comment", offset, &body), Sight::First);
        }
        let removal = removed(7, r#""ids":["95","11"],"#);
        assert_eq!(log.receive(2, b"removed", 7, &removal), Sight::First);
        assert_eq!(
            (
                log.removed_at("95"),
                log.removed_at("11"),
                log.removed_at("96")
            ),
            (Some(7), Some(7), None)
        );
        assert_eq!(
            log.receive(2, b"removed", 5, &removed(5, "")),
            Sight::TakenDown
        );
        assert_eq!(
            log.receive(2, b"removed", 6, &removed(6, "")),
            Sight::Different
        );
        assert!(log.is_removed_by(5, 7) && !log.is_removed_by(5, 6) && !log.is_removed_by(6, 9));
    }

    #[test]
    fn events_that_cannot_be_of_this_room_are_reported() {
        let mut log = RoomLog::default();
        assert!(log.joined_at("e", 4));
        assert!(!log.joined_at("f", 4));
        assert_eq!(
            log.receive(2, b"comment", 5, &comment(3, "e", 5, "x")),
            Sight::Foreign { live_id: 3 }
        );
        assert!(matches!(
            log.receive(2, b"comment", 5, &comment(2, "f", 5, "x")),
            Sight::Impossible(_)
        ));
        assert!(matches!(
            log.receive(2, b"comment", 4, &comment(2, "e", 4, "x")),
            Sight::Impossible(_)
        ));
        assert!(matches!(
            log.receive(2, b"comment", 9_000_000, &comment(2, "e", 9_000_000, "x")),
            Sight::Impossible(_)
        ));
        assert_eq!(log.receive(2, b"comment", 5, b"{"), Sight::Unreadable);
    }
}
