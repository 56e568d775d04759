//! The users online in a room: in truth, and according to one member.

use std::collections::VecDeque;
use std::fmt;

use crate::client::dialect;

/// A set of users, known well enough to distinguish it from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Users {
    count: u64,
    ids_sum: u64,
}

impl Users {
    fn add(&mut self, id: u64) {
        self.count += 1;
        self.ids_sum = self.ids_sum.wrapping_add(id);
    }

    fn remove(&mut self, id: u64) {
        self.count = self.count.saturating_sub(1);
        self.ids_sum = self.ids_sum.wrapping_sub(id);
    }
}

/// The known users online. A state: the latest presence replaces the one before. Single
/// changes, changes announced together, and counts with a few of many users are all of one form.
#[derive(Debug, Clone, Copy, Default)]
pub struct Online {
    /// `None` before anything was received, and for servers that do not report it.
    count: Option<u64>,
    listed: Option<Users>,
}

impl Online {
    /// So many, of whom nothing else is known.
    pub fn counted(count: Option<u64>) -> Self {
        Self {
            count,
            listed: None,
        }
    }

    /// Exactly these users, by their ids.
    pub fn of(ids: impl Iterator<Item = u64>) -> Self {
        let mut users = Users::default();
        ids.for_each(|id| users.add(id));
        Self {
            count: Some(users.count),
            listed: Some(users),
        }
    }

    /// Applies a presence event.
    pub fn receive(&mut self, announced: AnnouncedPresence) {
        self.count = Some(announced.count);
        match (announced.listed, &mut self.listed, announced.left) {
            (Some(users), ..) => self.listed = Some(users),
            // Without a list somebody left, and the others are still there.
            (None, Some(users), Some(id)) => users.remove(id),
            (None, ..) => {}
        }
    }

    /// Whether a member that believes this is right, where `truth` is so. Of many users a server
    /// may list a few; a list that is as long as the count is taken at its word.
    pub fn agrees_with(&self, truth: &Online) -> bool {
        let (Some(count), Some(listed)) = (self.count, self.listed) else {
            return self.count.is_none() || self.count == truth.count;
        };
        self.count == truth.count && (listed.count < count || self.listed == truth.listed)
    }
}

/// The content of one presence event.
#[derive(Debug, Clone, Copy)]
pub struct AnnouncedPresence {
    pub live_id: i64,
    count: u64,
    listed: Option<Users>,
    /// The users that left, where no list is given.
    left: Option<u64>,
}

impl AnnouncedPresence {
    /// `None` if it cannot be read.
    fn read(body: &[u8]) -> Option<Self> {
        let live_id = i64::try_from(dialect::last_number(body, b"\"live_id\"")?).ok()?;
        let announced = Self {
            live_id,
            count: dialect::last_number(body, b"\"count\"")?,
            listed: None,
            left: None,
        };
        Some(match memchr::memmem::find(body, b"\"data\":[") {
            Some(at) => {
                let mut users = Users::default();
                ids(&body[at..]).for_each(|id| users.add(id));
                Self {
                    listed: Some(users),
                    ..announced
                }
            }
            None => {
                let user =
                    memchr::memmem::find(body, b"\"user\":").and_then(|at| ids(&body[at..]).next());
                Self {
                    left: user,
                    ..announced
                }
            }
        })
    }
}

/// Presence events kept read; members receive them within moments of each other.
const RECENT_MAX: usize = 16;

/// The latest presence events of one room. Each is read once, however long its list and however
/// many members receive it, and compared after.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<(Box<[u8]>, AnnouncedPresence)>);

impl Recent {
    pub fn read(&mut self, body: &[u8]) -> Option<AnnouncedPresence> {
        if let Some((_, announced)) = self.0.iter().find(|(known, _)| **known == *body) {
            return Some(*announced);
        }
        let announced = AnnouncedPresence::read(body)?;
        self.0.truncate(RECENT_MAX - 1);
        self.0.push_front((body.into(), announced));
        Some(announced)
    }
}

impl fmt::Display for Online {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users online", self.count.unwrap_or_default())?;
        match self.listed {
            Some(users) => write!(
                f,
                ", {} listed with ids that sum to {}",
                users.count, users.ids_sum
            ),
            None => Ok(()),
        }
    }
}

/// The ids of the objects that begin with one. Inside a JSON string the quotes would be escaped.
fn ids(body: &[u8]) -> impl Iterator<Item = u64> {
    const ID: &[u8] = b"{\"id\":";
    memchr::memmem::find_iter(body, ID)
        .filter_map(|at| dialect::first_number(&body[at + ID.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(bodies: &[&str]) -> Online {
        let mut online = Online::default();
        let mut recent = Recent::default();
        for body in bodies {
            let announced = recent
                .read(body.as_bytes())
                .unwrap_or_else(|| panic!("{body}"));
            assert_eq!(announced.live_id, 7);
            online.receive(announced);
        }
        online
    }

    const JOIN: &str = r#"{"clients":["count"],"action":"join","user":{"id":5,"name":"\"count\":9,{\"id\":3"},"data":[{"id":5,"name":"]"},{"id":4,"name":"data\":["}],"count":2,"live_id":7}"#;
    const LEAVE: &str =
        r#"{"clients":[],"action":"leave","user":{"id":5,"name":"n"},"count":1,"live_id":7}"#;
    const MERGED: &str = r#"{"clients":[],"action":"leave","user":{"id":4,"name":"n"},"data":[{"id":6,"name":"n"}],"count":1,"live_id":7,"joined":1,"left":1}"#;
    const FEW: &str = r#"{"clients":[],"action":"join","user":{"id":9,"name":"n"},"data":[{"id":9,"name":"n"}],"count":3,"live_id":7,"joined":2,"left":0}"#;

    fn truth(ids: &[u64]) -> Online {
        Online::of(ids.iter().copied())
    }

    #[test]
    fn presence_is_followed_through_all_its_forms() {
        assert!(incoming(&[JOIN]).agrees_with(&truth(&[4, 5])));
        assert!(incoming(&[JOIN, LEAVE]).agrees_with(&truth(&[4])));
        assert!(incoming(&[JOIN, LEAVE, MERGED]).agrees_with(&truth(&[6])));
        assert!(
            incoming(&[JOIN, FEW]).agrees_with(&truth(&[6, 8, 9])),
            "a few of many"
        );
    }

    #[test]
    fn a_wrong_count_and_a_wrong_list_are_distinguished_from_the_truth() {
        assert!(!incoming(&[JOIN]).agrees_with(&truth(&[4, 5, 6])));
        assert!(!incoming(&[JOIN]).agrees_with(&truth(&[4, 6])));
        assert!(!incoming(&[FEW]).agrees_with(&truth(&[9])));
        assert!(!Online::counted(Some(2)).agrees_with(&truth(&[4])));
        assert!(Online::counted(Some(1)).agrees_with(&truth(&[4])));
    }

    #[test]
    fn servers_that_do_not_report_are_not_blamed() {
        assert!(Online::default().agrees_with(&truth(&[4])));
        assert!(Recent::default().read(br#"{"action":"join"}"#).is_none());
    }

    #[test]
    fn what_was_read_is_known_again_and_only_the_latest_is_kept() {
        let mut recent = Recent::default();
        let body =
            |count: u64| format!(r#"{{"data":[{{"id":{count}}}],"count":{count},"live_id":7}}"#);
        for count in 0..100 {
            for _ in 0..2 {
                let mut online = Online::default();
                online.receive(recent.read(body(count).as_bytes()).unwrap());
                assert_eq!(online.count, Some(count));
            }
            assert!(recent.0.len() <= RECENT_MAX);
        }
    }
}
