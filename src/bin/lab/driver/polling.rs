//! Members that poll, for good or until a WebSocket takes over.

use std::io::{self, ErrorKind};

use serde_json::Value;

use super::net::Slot;
use super::{Driver, Reading, Report, io_code};
use crate::client::{Carrier, Connection, Polling, Pump, Side, connection, payload};
use crate::judge;

/// Engine.IO packets that carry nothing: the server releases a poll, or ends the session.
const NOOP: &[u8] = b"6";
const CLOSE: &[u8] = b"1";

impl Driver<'_> {
    /// Says something over whatever carries the member's session.
    pub(super) fn say(&mut self, index: usize, text: &str) -> io::Result<()> {
        let member = &mut self.members[index];
        match (&mut member.polling, &mut member.conn) {
            (Some(polling), _) => {
                polling.queue(text);
                polling.post(self.net.dial(index, Slot::Line(Side::Post), false))
            }
            (None, Some(conn)) => conn.send_text(text),
            (None, None) => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn start_polling(&mut self, index: usize, path: String) -> io::Result<()> {
        let member = &mut self.members[index];
        let dial = self.net.dial(
            index,
            Slot::Line(Side::Poll),
            member.reading != Reading::Full,
        );
        member.polling = Some(Box::new(Polling::start(dial, member.kind, path)?));
        Ok(())
    }

    /// The session has its id: greet, and try a WebSocket if the client is one that does.
    pub(super) fn on_polling_open(&mut self, index: usize, handshake: &[u8]) -> io::Result<()> {
        let member = &mut self.members[index];
        let Some(polling) = &mut member.polling else {
            return Ok(());
        };
        let handshake: Value = serde_json::from_slice(handshake).unwrap_or_default();
        polling.open(handshake["sid"].as_str().unwrap_or_default());
        self.stats.connections += 1;
        if member.carrier == Carrier::Upgrade {
            let dial = self
                .net
                .dial(index, Slot::WebSocket, member.reading != Reading::Full);
            member.conn = Some(Connection::start(dial, &polling.upgrade_path())?);
        }
        connection::greeting(member.kind).map_or(Ok(()), |greeting| self.say(index, greeting))
    }

    /// The WebSocket works: what is on its way by polling comes first, then it takes over.
    pub(super) fn on_probe_answered(&mut self, index: usize) -> io::Result<()> {
        if let Some(polling) = &mut self.members[index].polling {
            polling.is_pausing = true;
        }
        self.finish_upgrade(index)
    }

    fn finish_upgrade(&mut self, index: usize) -> io::Result<()> {
        let member = &mut self.members[index];
        let Some(conn) = &mut member.conn else {
            return Ok(());
        };
        if let Some(polling) = member.polling.take_if(|polling| polling.is_paused()) {
            conn.send_text("5")?;
            polling
                .into_waiting()
                .iter()
                .try_for_each(|text| conn.send_text(text))?;
        }
        Ok(())
    }

    pub(super) fn on_line_report(&mut self, report: &Report, side: Side) {
        let index = report.member;
        let member = &mut self.members[index];
        let Some(line) = member
            .polling
            .as_mut()
            .and_then(|polling| polling.line(side))
        else {
            return;
        };
        if report.writable
            && let Err(error) = line.on_writable()
        {
            self.lose(index, &io_code(&error));
            return;
        }
        if report.readable && (side == Side::Post || member.reads_at_once()) {
            self.pump_line(index, side);
        }
    }

    fn pump_line(&mut self, index: usize, side: Side) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.pump_line_into(
            index,
            side,
            &mut buffer,
            super::READ_BYTES,
            super::READS_IN_A_ROW,
        );
        self.buffer = buffer;
        if let Err(code) = outcome {
            self.lose(index, &code);
        }
    }

    /// Reads at most `reads` times `bytes_max`. An error is the code the session ended with.
    pub(super) fn pump_line_into(
        &mut self,
        index: usize,
        side: Side,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
        reads: usize,
    ) -> Result<(), String> {
        for _ in 0..reads {
            let Some(line) = self.line(index, side) else {
                return Ok(());
            };
            let (filled, pump) = match line.fill(buffer, bytes_max) {
                // A request crossed with the closing of an idle connection.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => (0, Pump::Ended),
                outcome => outcome.map_err(|error| io_code(&error))?,
            };
            let now_ns = self.now_ns();
            self.stats.bytes += filled as u64;
            let used = self.take_replies(index, side, &buffer[..filled], now_ns)?;
            if let Some(line) = self.line(index, side) {
                line.keep(&buffer[used..filled]);
                // The kept bytes are counted when they are read together with the rest.
                self.stats.bytes -= (filled - used) as u64;
            }
            match pump {
                Pump::Drained => return Ok(()),
                Pump::Ended => return self.on_line_ended(index, side),
                Pump::More => {}
            }
        }
        if self.members[index].reads_at_once() {
            self.unread.push(index);
        }
        Ok(())
    }

    fn line(&mut self, index: usize, side: Side) -> Option<&mut crate::client::Line> {
        self.members[index].polling.as_mut()?.line(side)
    }

    fn on_line_ended(&mut self, index: usize, side: Side) -> Result<(), String> {
        let member = &mut self.members[index];
        let Some(polling) = &mut member.polling else {
            return Ok(());
        };
        let dial = self
            .net
            .dial(index, Slot::Line(side), member.reading != Reading::Full);
        match polling.on_line_ended(side, dial) {
            Ok(true) => Ok(()),
            Ok(false) => Err("close_1006".to_owned()),
            Err(error) => Err(io_code(&error)),
        }
    }

    /// Handles whole answers, asks on, and returns how many bytes they took.
    fn take_replies(
        &mut self,
        index: usize,
        side: Side,
        bytes: &[u8],
        now_ns: u64,
    ) -> Result<usize, String> {
        let mut at = 0;
        loop {
            let Some(line) = self.line(index, side) else {
                return Ok(at);
            };
            let Some(reply) = line.read_reply(&bytes[at..])? else {
                return Ok(at);
            };
            at += reply.used;
            if reply.status != 200 {
                return Err(payload::refusal(reply.status, reply.body));
            }
            if side == Side::Poll {
                self.take_packets(index, reply.body, now_ns)?;
            }
            self.ask_on(index, side).map_err(|error| io_code(&error))?;
        }
    }

    fn ask_on(&mut self, index: usize, side: Side) -> io::Result<()> {
        let member = &mut self.members[index];
        let Some(polling) = &mut member.polling else {
            return Ok(());
        };
        let dial = self
            .net
            .dial(index, Slot::Line(side), member.reading != Reading::Full);
        match side {
            Side::Poll => polling.poll(dial)?,
            Side::Post => polling.post(dial)?,
        }
        self.finish_upgrade(index)
    }

    fn take_packets(&mut self, index: usize, mut body: &[u8], now_ns: u64) -> Result<(), String> {
        let kind = self.members[index].kind;
        // A packet may end the session.
        while !body.is_empty() && self.members[index].polling.is_some() {
            let Some((packet, rest)) = payload::split(kind, body) else {
                self.offences.add(judge::WIRE, || {
                    format!("member {index} got a polling payload that is malformed")
                });
                return Err("close_1002".to_owned());
            };
            body = rest;
            self.stats.frames += 1;
            match packet {
                NOOP => {}
                CLOSE => return Err("engine_close".to_owned()),
                text => self.on_text(index, text, now_ns)?,
            }
        }
        Ok(())
    }
}
