//! The rest of the program, as the engine calls it. Calls must not block.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::cluster::{DeviceTicket, NodeReport, ReportAsked, Signal};
use crate::domain::{Timestamp, UserId};

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

    /// Another program, or a node, has set or deleted the tokens of these users.
    pub fn tokens_changed(&self, users: Vec<UserId>) {
        for user in users {
            self.report_tokens(TokenNews::Changed(user));
            self.signal(Signal::Recheck(user));
        }
    }

    /// Redis is reached, and was not for so long.
    pub fn redis_reached(&self, unreached_for: Duration, at: Timestamp) {
        let away_ms = i64::try_from(unreached_for.as_millis()).unwrap_or(i64::MAX);
        let since = at.plus_ms(-away_ms);
        self.report_tokens(TokenNews::Reached { since });
    }

    /// Another node has these devices.
    pub fn other_devices(&self, devices: Vec<(i64, DeviceTicket)>) {
        for (user, ticket) in devices {
            if let Some(user) = UserId::new(user) {
                self.signal(Signal::OtherDevice(user, Some(ticket)));
            }
        }
    }

    /// The report of this node.
    pub fn report(&self, asked: ReportAsked) -> Option<BoxFuture<'static, NodeReport>> {
        self.handlers
            .as_ref()
            .map(|handlers| (handlers.report)(asked))
    }

    /// The one device of each user of this node.
    pub fn devices(&self) -> Vec<(UserId, DeviceTicket)> {
        self.handlers
            .as_ref()
            .map_or_else(Vec::new, |handlers| (handlers.devices)())
    }
}
