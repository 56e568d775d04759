//! The handlers of a session, one for each message.

use std::time::Instant;

use actix::prelude::*;
use log::debug;

use crate::cluster::SessionFound;
use crate::domain::{AckId, Disconnect};
use crate::protocol::engineio::PONG;
use crate::protocol::socketio::{ROOT_NAMESPACE, connect_error, connect_packet};
use crate::protocol::{Codec, Decoded, EngineVersion, SocketIoInput, plain_json};

use super::{
    CommandBounced, Describe, FreeSeat, Inbound, MembershipLost, Reauthenticate, Received, Revoked,
    Session, Step, TransportGone,
};

impl Handler<Received> for Session {
    type Result = ();

    fn handle(&mut self, Received(inbound): Received, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        // The hub that closed the outbox leaves the rest to the session: nobody would receive the
        // answers.
        if let Some(reason) = self.port.outlet.outbox.closed() {
            return self.end(reason, ctx);
        }
        self.last_received = Instant::now();
        if let Some(place) = self.stranger
            && matches!(inbound, Inbound::Text(_) | Inbound::Binary(_))
        {
            self.stranger = Some(self.services.directory.stranger_sent(place));
        }
        match (inbound, &mut self.decoder) {
            (Inbound::Text(text), Some(decoder)) => match decoder.text(&text) {
                Ok(input) => self.socket_io(input, ctx),
                Err(fault) => self.refuse_packet(&fault, ctx),
            },
            (Inbound::Binary(_), Some(decoder)) => match decoder.attachment() {
                Ok(input) => self.socket_io(input, ctx),
                Err(fault) => self.refuse_packet(&fault, ctx),
            },
            (Inbound::Text(text), None) => {
                let decoded = plain_json::decode(&text, self.limits());
                self.decoded(decoded, ctx);
            }
            (Inbound::Binary(_), None) => {
                self.decoded(
                    Decoded::Malformed {
                        ack: AckId::None,
                        what: "frame: commands are text",
                    },
                    ctx,
                );
            }
            (Inbound::Ping, _) => {
                if self.take_from_limiter(ctx).is_ok() {
                    self.send_text(PONG);
                }
            }
            (Inbound::Pong, _) => {
                // It only sets `last_received`. A flood of them ends the session: the limiter
                // counts them.
                let _ = self.take_from_limiter(ctx);
            }
        }
    }
}

impl Session {
    fn socket_io(&mut self, input: SocketIoInput, ctx: &mut Context<Self>) {
        let version = match self.codec() {
            Codec::Eio3 => EngineVersion::V3,
            Codec::Eio4 | Codec::PlainJson => EngineVersion::V4,
        };
        // Commands pass the limiter later, where a refusal can be answered.
        if !matches!(input, SocketIoInput::Event(_)) && self.take_from_limiter(ctx).is_err() {
            return;
        }
        match input {
            SocketIoInput::Connect { namespace } if namespace == ROOT_NAMESPACE => {
                // socket.io closes the connection of a client that connects twice.
                if std::mem::replace(&mut self.connected, true) {
                    return self.end(Disconnect::Malformed, ctx);
                }
                self.deadlines.met_connect();
                self.send_text(&connect_packet(version, &self.port.outlet.socket_id));
            }
            SocketIoInput::Connect { namespace } => {
                self.send_text(&connect_error(version, &namespace))
            }
            SocketIoInput::Disconnect | SocketIoInput::Event(_) | SocketIoInput::Ack
                if !self.connected =>
            {
                self.end(Disconnect::Malformed, ctx);
            }
            // From here on the client is out of its rooms, after the grace, as if its connection
            // were lost. Its transport stays: it may connect again, and most clients close it next.
            SocketIoInput::Disconnect => {
                self.connected = false;
                self.waiting.push_back(Step::LeaveRooms);
                self.pump(ctx);
            }
            SocketIoInput::Event(decoded) => self.decoded(decoded, ctx),
            SocketIoInput::Ack | SocketIoInput::Nothing => {}
        }
    }

    fn refuse_packet(&mut self, fault: &dyn std::error::Error, ctx: &mut Context<Self>) {
        debug!(
            "packet refused: session_id={} error={fault}",
            self.port.outlet.session
        );
        self.end(Disconnect::Malformed, ctx);
    }
}

impl Handler<TransportGone> for Session {
    type Result = ();

    fn handle(&mut self, gone: TransportGone, ctx: &mut Context<Self>) {
        self.end(gone.0, ctx);
    }
}

impl Handler<Revoked> for Session {
    type Result = ();

    fn handle(&mut self, revoked: Revoked, ctx: &mut Context<Self>) {
        if !self.ended {
            self.revoked(revoked.0, ctx);
        }
    }
}

impl Handler<Reauthenticate> for Session {
    type Result = ();

    fn handle(&mut self, _: Reauthenticate, ctx: &mut Context<Self>) {
        if !self.ended {
            self.recheck(ctx);
        }
    }
}

impl Handler<FreeSeat> for Session {
    type Result = ();

    fn handle(&mut self, _: FreeSeat, ctx: &mut Context<Self>) {
        // It may have become known while this was on its way.
        if self.stranger.is_some() {
            self.end(Disconnect::Overloaded, ctx);
        }
    }
}

impl Handler<MembershipLost> for Session {
    type Result = ();

    fn handle(&mut self, lost: MembershipLost, _: &mut Context<Self>) {
        // One with an older stamp than the latest join is out of date.
        if self
            .rooms
            .get(&lost.live_id)
            .is_some_and(|link| link.joined_by <= lost.stamp)
        {
            self.rooms.remove(&lost.live_id);
        }
    }
}

impl Handler<CommandBounced> for Session {
    type Result = ();

    fn handle(&mut self, bounced: CommandBounced, ctx: &mut Context<Self>) {
        if !self.ended {
            self.rooms.remove(&bounced.live_id);
            self.locate(bounced.live_id, bounced.command, ctx);
        }
    }
}

impl Handler<Describe> for Session {
    type Result = ();

    fn handle(&mut self, describe: Describe, _: &mut Context<Self>) {
        let mut rooms: Vec<i64> = self.rooms.keys().map(|live_id| live_id.get()).collect();
        rooms.sort_unstable();
        let outlet = &self.port.outlet;
        let found = SessionFound {
            session_id: outlet.session.0,
            socket_id: outlet.socket_id.to_string(),
            dialect: match outlet.codec {
                Codec::Eio3 => "eio3",
                Codec::Eio4 => "eio4",
                Codec::PlainJson => "ws",
            }
            .to_owned(),
            address: self.port.address.to_string(),
            began_at_ms: self.began_at.0,
            rooms,
        };
        // The asker may have given up.
        let _ = describe.0.send(found);
    }
}
