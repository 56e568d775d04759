//! The lanes of events, by how much a server may lose of each: it promises lanes, not events.

/// The class of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Viewers' comments: dropped first when a member does not keep up.
    Crowd,
    /// The streamer's comments.
    Voice,
    /// Gifts, changes of state, moderation.
    Money,
}

impl Lane {
    pub const ALL: [Lane; 3] = [Lane::Crowd, Lane::Voice, Lane::Money];

    pub fn name(self) -> &'static str {
        match self {
            Lane::Crowd => "crowd",
            Lane::Voice => "voice",
            Lane::Money => "money",
        }
    }
}
