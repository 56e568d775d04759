//! The rest of the program, as the engine calls it. Calls must not block.

use futures_util::future::BoxFuture;

use crate::cluster::{DeviceTicket, NodeReport, RoomsAsked, Signal};
use crate::domain::UserId;

use super::super::NodeHandlers;
use super::input::TokenListener;
use super::out::TokenNews;

/// Until the program serves, nothing of it is called.
#[derive(Default)]
pub struct Program {
    pub handlers: Option<NodeHandlers>,
    pub token_listener: Option<TokenListener>,
}

impl Program {
    pub fn signal(&self, signal: Signal) {
        if let Some(handlers) = &self.handlers {
            (handlers.on_signal)(signal);
        }
    }

    pub fn report_tokens(&self, news: TokenNews) {
        if let Some(listener) = &self.token_listener {
            listener(news);
        }
    }

    /// The report of this node.
    pub fn report(&self, rooms: RoomsAsked) -> Option<BoxFuture<'static, NodeReport>> {
        self.handlers
            .as_ref()
            .map(|handlers| (handlers.report)(rooms))
    }

    /// The one device of each user of this node.
    pub fn devices(&self) -> Vec<(UserId, DeviceTicket)> {
        self.handlers
            .as_ref()
            .map_or_else(Vec::new, |handlers| (handlers.devices)())
    }
}
