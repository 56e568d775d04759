//! A way between two processes that can be cut, as a network is: nobody is told, what is sent stays
//! on the way, and new connections are accepted and not answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_requests_held: bool,
    is_answers_held: bool,
    /// How long answers are on their way.
    delay: Duration,
    /// Counts the times that everything on the way was lost.
    era: u64,
    /// Both ends of each connection of this era.
    ends: Vec<TcpStream>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

impl Proxy {
    /// A way to whatever listens on `to`, from a free port.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let shared = Arc::new(Shared {
            to,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        // Ends with the test's process, as the connections' threads do.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(client));
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing passes any more, either way.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        (state.is_requests_held, state.is_answers_held) = (true, true);
    }

    /// What is asked arrives; the answers do not.
    pub fn cut_answers(&self) {
        self.shared.state().is_answers_held = true;
    }

    /// From now on answers take so long.
    pub fn slow_down(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Everything passes again, first what was sent during the cut: as when it was shorter than the
    /// patience of both ends' TCP.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        (state.is_requests_held, state.is_answers_held) = (false, false);
        self.shared.changed.notify_all();
    }

    /// New connections pass again; those of before break, and what was sent during the cut is lost.
    pub fn heal_after_loss(&self) {
        let mut state = self.shared.state();
        state.era += 1;
        (state.is_requests_held, state.is_answers_held) = (false, false);
        for end in state.ends.drain(..) {
            // Whoever closed it before has done it for us.
            let _ = end.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries one connection both ways. Whatever fails ends it, for both.
    fn serve(self: Arc<Self>, client: TcpStream) {
        let era = self.state().era;
        if !self.wait_until_passes(Direction::Requests, era) {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)) else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let clones = [&client, &client, &server, &server].map(TcpStream::try_clone);
        let [
            Ok(mut from_client),
            Ok(client_end),
            Ok(to_server),
            Ok(server_end),
        ] = clones
        else {
            return;
        };
        {
            let mut state = self.state();
            if state.era != era {
                return;
            }
            state.ends.extend([client_end, server_end]);
        }
        let requests = Arc::clone(&self);
        thread::spawn(move || {
            requests.carry(&mut from_client, &to_server, Direction::Requests, era)
        });
        let mut from_server = server;
        self.carry(&mut from_server, &client, Direction::Answers, era);
    }

    fn carry(&self, from: &mut TcpStream, to: &TcpStream, direction: Direction, era: u64) {
        let (line, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
        let Ok(mut end) = to.try_clone() else { return };
        let writing = thread::spawn(move || {
            for (due, bytes) in arriving {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if end.write_all(&bytes).is_err() {
                    break;
                }
            }
        });
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer);
            let delay = if direction == Direction::Answers {
                self.state().delay
            } else {
                Duration::ZERO
            };
            // What came during a cut waits here, the end of a connection too.
            if !self.wait_until_passes(direction, era) {
                break;
            }
            match read {
                Ok(bytes)
                    if bytes > 0
                        && line
                            .send((Instant::now() + delay, buffer[..bytes].to_vec()))
                            .is_ok() => {}
                _ => break,
            }
        }
        drop(line);
        let _ = (
            writing.join(),
            from.shutdown(Shutdown::Both),
            to.shutdown(Shutdown::Both),
        );
    }

    /// False when everything on the way was lost meanwhile.
    fn wait_until_passes(&self, direction: Direction, era: u64) -> bool {
        let is_held = |state: &mut State| {
            let is_held = match direction {
                Direction::Requests => state.is_requests_held,
                Direction::Answers => state.is_answers_held,
            };
            is_held && state.era == era
        };
        let state = self
            .changed
            .wait_while(self.state(), is_held)
            .unwrap_or_else(PoisonError::into_inner);
        state.era == era
    }
}
