//! The commands of a session to a room, and the environment that the room needs to decide about
//! them.

use std::net::IpAddr;
use std::sync::Arc;

use super::word_filter::FilterVerdict;
use super::{
    Coins, CommentId, CommentText, Gift, GiftCount, GiftId, Offset, Position, Profile, Reject,
    ReplyTo, RequestId, Sanction, SessionId, SocketId, Timestamp,
};

/// One command of a session to a room. The protocol decodes straight into it.
///
/// A fault in a field is kept as a value, because the wire contract fixes the order in which faults
/// are reported: the status of the live comes first, then the membership, then the fields. Only
/// [`Room::handle`](super::Room::handle) knows the first two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomCommand {
    Join {
        /// The position that the client saw last; `None` if it asks for no recovery.
        since: Result<Option<Position>, Reject>,
    },
    Leave,
    Comment {
        text: Result<CommentText, Reject>,
        request_id: Result<Option<RequestId>, Reject>,
    },
    Gift {
        /// `None` if it cannot be the id of any gift.
        gift_id: Option<GiftId>,
        count: Result<GiftCount, Reject>,
        /// What the client shows for one; `None` if it does not say, and takes the price of the
        /// catalogue.
        shown_price: Result<Option<Coins>, Reject>,
        request_id: Result<Option<RequestId>, Reject>,
    },
}

/// The sender of a command, and how to answer it.
#[derive(Debug, Clone)]
pub struct Caller<H> {
    pub session: SessionId,
    /// The user for whom the command was verified. A session whose token now names another user
    /// than the one it joined as is not a member until it joins again.
    pub profile: Arc<Profile>,
    pub socket_id: SocketId,
    /// What holds against the user on the whole site; it comes with the account.
    pub site_sanctions: Arc<[Sanction]>,
    /// Since when the user has its account.
    pub account_since: Timestamp,
    /// The address the session comes from, as limits count it.
    pub address: IpAddr,
    pub to: ReplyTo<H>,
}

/// The environment in which a room decides about a command: the domain has neither history bytes,
/// nor a catalogue, nor randomness. Nothing is asked for a caller that is refused by status or
/// membership.
pub trait CommandEnv<H> {
    /// The offset after which all that a session missed since `since` can be replayed to it; `None`
    /// if a part of it is gone, or if it does not fit the session's outbox.
    fn recover_after(&mut self, since: &Position, to: &H, now: Timestamp) -> Option<Offset>;

    /// An id for a new comment, greater than all before it.
    fn next_comment_id(&mut self, now: Timestamp) -> CommentId;

    /// A name for a gift whose client gave it none: the store keeps each gift under one, so that
    /// committing it again has no effect.
    fn new_request_id(&mut self) -> RequestId;

    /// What the word filter says about a text. Without one nothing is found.
    fn check_text(&self, _text: &str) -> FilterVerdict {
        FilterVerdict::default()
    }

    /// The gift if the catalogue has it, on sale or not: the books know whether it is a retry of one
    /// that was given before it was withdrawn.
    fn gift(&self, id: GiftId) -> Option<Arc<Gift>>;
}
