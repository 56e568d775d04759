//! Turns at the password hashes: logins go first, and each queue has an end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Logins that may wait for one place. A hash takes tens of milliseconds, so one further back would
/// wait longer than logins do.
const LOGINS_WAITING_PER_PLACE: usize = 64;

/// Registrations that may wait for one place. Fewer, since they wait for logins too.
const REGISTRATIONS_WAITING_PER_PLACE: usize = 16;

/// Logins in a row while a registration waits. So a flood of logins leaves registrations a fifth.
const LOGINS_IN_A_ROW_MAX: u32 = 4;

/// What a password is hashed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Login,
    Registration,
}

/// As many places as hashes may run at once, and two queues for them.
#[derive(Clone)]
pub(super) struct Turns {
    state: Arc<Mutex<State>>,
    places: usize,
}

struct State {
    /// Above 0 only while nobody waits.
    free: usize,
    logins: VecDeque<oneshot::Sender<Turn>>,
    registrations: VecDeque<oneshot::Sender<Turn>>,
    logins_in_a_row: u32,
}

/// A place, given to the next in the queues when dropped.
pub(super) struct Turn {
    turns: Turns,
}

impl Turns {
    /// `places`: at least 1.
    pub fn new(places: usize) -> Self {
        let places = places.max(1);
        let state = State { free: places, logins: VecDeque::new(), registrations: VecDeque::new(), logins_in_a_row: 0 };
        Self { state: Arc::new(Mutex::new(state)), places }
    }

    /// Waits for a place, at most for `wait`. `None`: none became free, or too many wait already.
    pub async fn take(&self, purpose: Purpose, wait: Duration) -> Option<Turn> {
        let waiter = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn { turns: self.clone() });
            }
            let (queue, per_place) = match purpose {
                Purpose::Login => (&mut state.logins, LOGINS_WAITING_PER_PLACE),
                Purpose::Registration => (&mut state.registrations, REGISTRATIONS_WAITING_PER_PLACE),
            };
            queue.retain(|waiter| !waiter.is_closed());
            if queue.len() >= per_place * self.places {
                return None;
            }
            let (sender, waiter) = oneshot::channel();
            queue.push_back(sender);
            waiter
        };
        timeout(wait, waiter).await.ok()?.ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next in the queues, if anybody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let registration_is_due = self.logins_in_a_row >= LOGINS_IN_A_ROW_MAX;
        if registration_is_due && let Some(waiter) = next_open(&mut self.registrations) {
            self.logins_in_a_row = 0;
            return Some(waiter);
        }
        if let Some(waiter) = next_open(&mut self.logins) {
            self.logins_in_a_row = self.logins_in_a_row.saturating_add(1);
            return Some(waiter);
        }
        self.logins_in_a_row = 0;
        next_open(&mut self.registrations)
    }
}

/// The first that has not given up.
fn next_open(queue: &mut VecDeque<oneshot::Sender<Turn>>) -> Option<oneshot::Sender<Turn>> {
    std::iter::from_fn(|| queue.pop_front()).find(|waiter| !waiter.is_closed())
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.turns.lock();
            let next = state.next();
            state.free += usize::from(next.is_none());
            next
        };
        if let Some(waiter) = next {
            // One that gave up at this moment gives the turn back: it is dropped, and passed on again.
            let _ = waiter.send(Turn { turns: self.turns.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// Starts to wait; the queue is joined at the first poll.
    macro_rules! waiting {
        ($name:ident, $turns:expr, $purpose:expr) => {
            let mut $name = pin!($turns.take($purpose, LONG));
            assert!((&mut $name).now_or_never().is_none(), "no place is free");
        };
    }

    #[actix_rt::test]
    async fn a_login_overtakes_registrations() {
        let turns = Turns::new(1);
        let first = turns.take(Purpose::Registration, LONG).await.unwrap();
        waiting!(registration, turns, Purpose::Registration);
        waiting!(login, turns, Purpose::Login);
        drop(first);
        assert!((&mut registration).now_or_never().is_none());
        drop(login.await.unwrap());
        drop(registration.await.unwrap());
        assert_eq!(turns.lock().free, 1);
    }

    #[actix_rt::test]
    async fn every_fifth_turn_is_a_registration_if_one_waits() {
        let turns = Turns::new(1);
        let mut turn = turns.take(Purpose::Login, LONG).await.unwrap();
        waiting!(registration, turns, Purpose::Registration);
        for _ in 0..LOGINS_IN_A_ROW_MAX {
            waiting!(login, turns, Purpose::Login);
            drop(turn);
            assert!((&mut registration).now_or_never().is_none());
            turn = login.await.unwrap();
        }
        waiting!(login, turns, Purpose::Login);
        drop(turn);
        assert!((&mut login).now_or_never().is_none());
        drop(registration.await.unwrap());
        drop(login.await.unwrap());
    }

    #[actix_rt::test]
    async fn a_full_queue_of_registrations_refuses_them_and_no_login() {
        let turns = Turns::new(2);
        let held = [turns.take(Purpose::Login, LONG).await.unwrap(), turns.take(Purpose::Login, LONG).await.unwrap()];
        let mut queued = Vec::new();
        for _ in 0..2 * REGISTRATIONS_WAITING_PER_PLACE {
            let mut waiter = Box::pin(turns.take(Purpose::Registration, LONG));
            assert!((&mut waiter).now_or_never().is_none());
            queued.push(waiter);
        }
        assert!(matches!(turns.take(Purpose::Registration, LONG).now_or_never(), Some(None)), "refused at once");
        waiting!(login, turns, Purpose::Login);
        // Who gives up leaves room for another.
        queued.pop();
        waiting!(another, turns, Purpose::Registration);
        drop((held, queued));
        assert!(login.await.is_some());
        assert!(another.await.is_some());
    }

    #[actix_rt::test]
    async fn a_turn_given_to_somebody_who_gave_up_goes_to_the_next() {
        let turns = Turns::new(1);
        let first = turns.take(Purpose::Login, LONG).await.unwrap();
        let mut gone = Box::pin(turns.take(Purpose::Login, LONG));
        assert!((&mut gone).now_or_never().is_none());
        waiting!(next, turns, Purpose::Login);
        drop(first);
        // It has the turn, and never looks.
        drop(gone);
        drop(next.await.unwrap());
        assert_eq!(turns.lock().free, 1);
    }

    #[actix_rt::test]
    async fn waiting_has_an_end() {
        let turns = Turns::new(1);
        let held = turns.take(Purpose::Login, LONG).await.unwrap();
        assert!(turns.take(Purpose::Login, Duration::from_millis(10)).await.is_none());
        drop(held);
        assert!(turns.take(Purpose::Login, LONG).now_or_never().is_some());
    }
}
