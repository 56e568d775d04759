//! Why a session ends, and whether to come back.

/// A decision to end a session. The transport turns it into a close code, the protocol into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The client closed the connection, or its socket is gone.
    ByClient,
    /// Nothing was received within the time of the heartbeat.
    PingTimeout,
    /// The node drains. Reconnect.
    Shutdown,
    /// Too many commands.
    Policy,
    /// Frames, packets or requests that are not the protocol.
    Malformed,
    /// A frame above the limit.
    TooBig,
    /// Bytes that are not UTF-8 where text belongs.
    InvalidText,
    /// The token stopped being good: logout, expiry, a later login.
    Unauthorized,
    /// The account was disabled.
    Disabled,
    /// Its outbox stayed full. Reconnect.
    Slow,
    /// An operator removed it.
    Kicked,
    /// The same user connected elsewhere and only one device is allowed.
    OtherDevice,
    /// No room for another session now. Reconnect after the hint.
    Overloaded,
    /// Its transport opened, but it never asked for the root namespace.
    ConnectTimeout,
    /// A fault of ours; logged where it happened. Reconnect.
    Fault,
}

impl Disconnect {
    /// Whether the node decided that this user is not to come back by itself. Only these reasons
    /// are worth a disconnect of Socket.IO: a client that receives one stays away until its page
    /// connects again, while one that only loses its transport reconnects.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Policy | Self::Unauthorized | Self::Disabled | Self::Kicked | Self::OtherDevice
        )
    }
}
