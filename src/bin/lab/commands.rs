//! The commands of members to the server, and their outcomes.

use crate::standings::Refusal;

/// Everything asked in a run; a command's number is its place here and its ack on the wire.
#[derive(Debug, Default)]
pub struct Commands(Vec<Command>);

#[derive(Debug)]
pub struct Command {
    pub kind: CommandKind,
    pub member: u32,
    pub room: u32,
    /// When the schedule wanted it sent. Latency counts from here, so that a lab or server that
    /// falls behind does not look faster for it (coordinated omission).
    pub intended_ns: u64,
    pub sent_ns: u64,
    pub answered_ns: Option<u64>,
    /// The sanction or rule because of which every node must refuse it.
    pub must_refuse: Option<Refusal>,
    /// The newest event of the room that its sender had received when it sent it: its node had taken
    /// in all up to there.
    pub seen: Option<u64>,
    /// Whether its text has the term for which comments are held.
    pub has_term: bool,
    /// Whether every node must hold it.
    pub must_hold: bool,
    pub fate: Fate,
    /// The offset its room announced it at.
    pub announced: Option<u64>,
    /// Its sender got the comment back without a place.
    pub is_echoed: bool,
    /// The command this repeats with the same `request_id`.
    pub retry_of: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    Join,
    Leave,
    Comment,
    Gift {
        gift: usize,
        num: i64,
    },
    /// The act with this number.
    Act {
        act: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Pending,
    /// Accepted, with the id and place of the event. A server may accept without giving a place.
    Accepted {
        id: String,
        offset: Option<u64>,
    },
    /// Accepted, but not shown to the room, as the answer says.
    SampledOut,
    /// Accepted, but not shown before a moderator approves it or, with a delay, some milliseconds
    /// have passed.
    Held {
        id: String,
        delay_ms: Option<u64>,
    },
    Refused(Refusal),
    /// The connection went first, or the server never answers: it may or may not have had effect.
    Unknown,
}

impl Commands {
    pub fn add(
        &mut self,
        kind: CommandKind,
        member: usize,
        room: usize,
        intended_ns: u64,
        sent_ns: u64,
    ) -> usize {
        self.0.push(Command {
            kind,
            member: member as u32,
            room: room as u32,
            intended_ns,
            sent_ns,
            answered_ns: None,
            must_refuse: None,
            seen: None,
            has_term: false,
            must_hold: false,
            fate: Fate::Pending,
            announced: None,
            is_echoed: false,
            retry_of: None,
        });
        self.0.len() - 1
    }

    pub fn get(&self, number: usize) -> Option<&Command> {
        self.0.get(number)
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut Command> {
        self.0.get_mut(number)
    }

    /// All, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Command)> {
        self.0.iter().enumerate()
    }

    pub fn is_any_pending(&self) -> bool {
        self.0.iter().any(|command| command.fate == Fate::Pending)
    }
}
