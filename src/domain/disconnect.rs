//! Why a session ends, and whether to come back.

/// A decision to end a session. The transport turns it into a close code, the protocol into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The client said good-bye or its socket is gone.
    ByClient,
    /// Nothing heard within the heartbeat's time.
    PingTimeout,
    /// The node drains. Reconnect.
    Shutdown,
    /// Too many commands, or packets that are not the protocol.
    Policy,
    /// A frame above the limit.
    TooBig,
    /// Bytes that are no UTF-8 where text belongs.
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
    /// Connected, but never said anything valid in time.
    ConnectTimeout,
    /// A fault of ours; logged where it happened. Reconnect.
    Fault,
}

impl Disconnect {
    /// Whether the client does right to connect again by itself.
    pub const fn reconnect(self) -> bool {
        matches!(
            self,
            Self::PingTimeout | Self::Shutdown | Self::Slow | Self::Overloaded | Self::Fault | Self::ConnectTimeout
        )
    }
}
