//! The other end: reads everything, keeps nothing, counts bytes.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;

use super::Progress;

/// More than a socket's buffer holds as a rule, so that one read empties it.
const BUFFER_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;

/// How often an idle reader looks whether the writer is done.
const IDLE_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// Bytes that were sent and are not received for this long will not come.
const STALL_MAX: Duration = Duration::from_secs(10);

pub struct Reader<'a> {
    sockets: &'a [TcpStream],
    progress: &'a Progress,
    epoll: OwnedFd,
}

impl<'a> Reader<'a> {
    pub fn new(sockets: &'a [TcpStream], progress: &'a Progress) -> io::Result<Reader<'a>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, socket) in sockets.iter().enumerate() {
            epoll::add(
                &epoll,
                socket,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN,
            )?;
        }
        Ok(Reader {
            sockets,
            progress,
            epoll,
        })
    }

    /// Reads until all that was sent has come. `on_read` is called for each read: which socket, how
    /// many bytes.
    pub fn run(self, mut on_read: impl FnMut(usize, usize)) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut received_bytes = 0;
        let mut done_at = None;
        loop {
            let sent_bytes = self.progress.sent_bytes.load(Ordering::Acquire);
            if received_bytes >= sent_bytes {
                return Ok(());
            }
            self.progress.check()?;
            if sent_bytes != u64::MAX
                && done_at.get_or_insert_with(Instant::now).elapsed() > STALL_MAX
            {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "bytes that were sent did not arrive",
                ));
            }
            retry_on_intr(|| {
                epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&IDLE_WAIT))
            })?;
            for event in events.drain(..) {
                let index = { event.data }.u64() as usize;
                let bytes = self.read(index, &mut buffer)?;
                received_bytes += bytes as u64;
                on_read(index, bytes);
            }
            self.progress
                .received_bytes
                .store(received_bytes, Ordering::Relaxed);
        }
    }

    fn read(&self, index: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = &self.sockets[index];
        match socket.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }
}
