//! Sockets of members under one epoll: which report is whose.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;

use mio::{Poll, Token};

use crate::client::{Dial, Side};

/// The sockets a member may have at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    WebSocket,
    Line(Side),
}

const SLOTS: [Slot; 3] = [
    Slot::WebSocket,
    Slot::Line(Side::Poll),
    Slot::Line(Side::Post),
];

pub struct Net {
    pub poll: Poll,
    address: SocketAddr,
    connections_per_source: usize,
    /// Connections started.
    started: Cell<usize>,
}

impl Net {
    pub fn new(address: SocketAddr, connections_per_source: usize) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            address,
            connections_per_source,
            started: Cell::new(0),
        })
    }

    pub fn dial(&self, member: usize, slot: Slot, slow: bool) -> Dial<'_> {
        let place = SLOTS.iter().position(|it| *it == slot).unwrap_or_default();
        let token = Token(member * SLOTS.len() + place);
        Dial {
            address: self.address,
            per_source: self.connections_per_source,
            started: &self.started,
            slow,
            registry: self.poll.registry(),
            token,
        }
    }
}

/// The member and the socket that a report is about.
pub fn owner_of(token: Token) -> (usize, Slot) {
    (token.0 / SLOTS.len(), SLOTS[token.0 % SLOTS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_find_their_owners() {
        let net = Net::new(SocketAddr::from(([127, 0, 0, 1], 1)), 1).unwrap();
        for member in [0, 1, 77] {
            for slot in SLOTS {
                assert_eq!(
                    owner_of(net.dial(member, slot, false).token),
                    (member, slot)
                );
            }
        }
    }
}
