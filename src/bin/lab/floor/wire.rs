//! Loopback connections by the thousand, and the frame that goes over them.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// Connections per listener: the kernel picks the client's port anew for each listener, from some
/// 28,000, so that one source address serves any number of them.
const PER_LISTENER: usize = 16_384;

/// Descriptors beside the sockets: the standard three, two epolls, whatever else the lab has open.
const DESCRIPTORS_SPARE: u64 = 256;

/// FIN, text.
const TEXT_FRAME: u8 = 0x81;
const SHORT_PAYLOAD_MAX: usize = 125;
/// Says that the length is in the next two bytes.
const LENGTH_IS_TWO_BYTES: u8 = 126;
const FRAME_BYTES_MIN: usize = 3;
const FRAME_BYTES_MAX: usize = 4 + u16::MAX as usize;

/// A text frame as a server sends it, unmasked, of `bytes` in all.
pub fn frame(bytes: usize) -> io::Result<Vec<u8>> {
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) {
        let what =
            format!("frames of {bytes} bytes: expected {FRAME_BYTES_MIN} to {FRAME_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut frame = if bytes - 2 <= SHORT_PAYLOAD_MAX {
        vec![TEXT_FRAME, (bytes - 2) as u8]
    } else {
        let [high, low] = ((bytes - 4) as u16).to_be_bytes();
        vec![TEXT_FRAME, LENGTH_IS_TWO_BYTES, high, low]
    };
    frame.resize(bytes, b'x');
    Ok(frame)
}

/// Connected pairs, both ends here and nonblocking.
pub struct Loopback {
    pub senders: Vec<TcpStream>,
    pub receivers: Vec<TcpStream>,
}

impl Loopback {
    pub fn open(pairs: usize) -> io::Result<Loopback> {
        let needed = 2 * pairs as u64 + DESCRIPTORS_SPARE;
        let allowed = rlimit::increase_nofile_limit(needed)?;
        if allowed < needed {
            return Err(io::Error::other(format!(
                "{pairs} sockets need {needed} file descriptors and {allowed} are allowed: raise `ulimit -n`"
            )));
        }
        let mut loopback = Loopback {
            senders: Vec::with_capacity(pairs),
            receivers: Vec::with_capacity(pairs),
        };
        while loopback.senders.len() < pairs {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            for _ in 0..PER_LISTENER.min(pairs - loopback.senders.len()) {
                let (sender, receiver) = connect(&listener)?;
                loopback.senders.push(sender);
                loopback.receivers.push(receiver);
            }
        }
        Ok(loopback)
    }
}

/// The side that accepted sends, as a server does.
fn connect(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let receiver = TcpStream::connect(listener.local_addr()?)?;
    // Somebody else may knock at the port in between; only our own connection is taken.
    let sender = loop {
        let (sender, peer) = listener.accept()?;
        if peer == receiver.local_addr()? {
            break sender;
        }
    };
    // Without this a small send waits for the answer to the one before.
    sender.set_nodelay(true)?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((sender, receiver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_size_asked_for_and_says_so() {
        for bytes in [3, 127, 130, 150, 65_539] {
            let frame = frame(bytes).expect("a size within the limits");
            let payload = match frame[1] {
                LENGTH_IS_TWO_BYTES => usize::from(u16::from_be_bytes([frame[2], frame[3]])) + 4,
                short => usize::from(short) + 2,
            };
            assert_eq!((frame[0], frame.len(), payload), (TEXT_FRAME, bytes, bytes));
        }
        assert!(frame(2).is_err() && frame(65_540).is_err());
    }

    #[test]
    fn what_one_end_sends_the_other_receives() {
        use std::io::{Read, Write};
        let loopback = Loopback::open(2).expect("two pairs");
        for (sender, mut receiver) in loopback.senders.iter().zip(&loopback.receivers) {
            let mut sender = sender;
            sender.write_all(b"hello").expect("it fits the buffer");
            receiver.set_nonblocking(false).expect("a socket");
            let mut incoming = [0; 5];
            receiver.read_exact(&mut incoming).expect("it was sent");
            assert_eq!(&incoming, b"hello");
        }
    }
}
