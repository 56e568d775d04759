//! WebSocket frames, as far as a client needs them: heads of the server's are walked in place,
//! its own are masked.

/// A frame above this is a fault of the server: presence of a full room is far below.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The frame at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A whole frame, and how many bytes it took.
    Frame {
        opcode: u8,
        payload: &'a [u8],
        used: usize,
    },
    /// The rest has not come yet.
    Partial,
    /// Masked, fragmented, compressed or huge: nothing that a server may send to this client.
    Faulty(&'static str),
}

/// Reads the frame at the start of `bytes` without copying.
#[inline]
pub fn next(bytes: &[u8]) -> Step<'_> {
    let [first, second, rest @ ..] = bytes else {
        return Step::Partial;
    };
    if second & 0x80 != 0 {
        return Step::Faulty("a masked frame");
    }
    if first & 0xf0 != 0x80 {
        return Step::Faulty("a fragmented or compressed frame");
    }
    let (head, length) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            _ => return Step::Partial,
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (
                10,
                usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX),
            ),
            None => return Step::Partial,
        },
        short => (2, usize::from(short)),
    };
    if length > FRAME_BYTES_MAX {
        return Step::Faulty("a frame of more than 4 MiB");
    }
    match bytes.get(head..head + length) {
        Some(payload) => Step::Frame {
            opcode: first & 0x0f,
            payload,
            used: head + length,
        },
        None => Step::Partial,
    }
}

/// Appends a masked frame.
pub fn push_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

/// Appends an unmasked frame, as servers send them.
pub fn push_unmasked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        medium @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_walked() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let mut bytes = Vec::new();
            push_unmasked(&mut bytes, TEXT, &payload);
            for cut in [1, 2, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(next(&bytes[..cut]), Step::Partial, "{length} cut at {cut}");
                }
            }
            let used = bytes.len();
            bytes.extend_from_slice(b"more");
            assert_eq!(
                next(&bytes),
                Step::Frame {
                    opcode: TEXT,
                    payload: &payload,
                    used
                }
            );
        }
    }

    #[test]
    fn what_servers_must_not_send_is_faulty() {
        assert!(matches!(next(&[0x81, 0x80]), Step::Faulty(_)));
        assert!(matches!(next(&[0x01, 0x01, b'x']), Step::Faulty(_)));
        assert!(matches!(next(&[0xc1, 0x01, b'x']), Step::Faulty(_)));
        assert!(matches!(
            next(&[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
            Step::Faulty(_)
        ));
    }

    #[test]
    fn masking_twice_is_no_masking() {
        let mut bytes = Vec::new();
        push_masked(&mut bytes, TEXT, b"hello", [1, 2, 3, 4]);
        assert_eq!(bytes[..6], [0x81, 0x85, 1, 2, 3, 4]);
        let clear: Vec<u8> = bytes[6..]
            .iter()
            .zip([1, 2, 3, 4].iter().cycle())
            .map(|(a, b)| a ^ b)
            .collect();
        assert_eq!(clear, b"hello");
    }
}
