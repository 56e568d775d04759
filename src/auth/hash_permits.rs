//! Permits to hash a password: logins go first, and each queue is bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Logins that may wait for one permit. A hash takes tens of milliseconds, so one further back
/// would wait longer than a login may take.
const LOGINS_WAITING_PER_PERMIT: usize = 64;

/// Registrations that may wait for one permit. Fewer, since they wait for logins too.
const REGISTRATIONS_WAITING_PER_PERMIT: usize = 16;

/// Logins in a row while a registration waits. So a flood of logins leaves registrations a fifth.
const LOGINS_IN_A_ROW_MAX: u32 = 4;

/// The request that a password is hashed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashPurpose {
    Login,
    Registration,
}

/// As many permits as hashes may run at once, and two queues for them.
#[derive(Clone)]
pub(super) struct HashPermits {
    state: Arc<Mutex<PermitQueues>>,
    count: usize,
}

struct PermitQueues {
    /// Free permits. Above 0 only while both queues are empty.
    free: usize,
    logins: VecDeque<oneshot::Sender<HashPermit>>,
    registrations: VecDeque<oneshot::Sender<HashPermit>>,
    logins_in_a_row: u32,
}

/// A permit for one hash, given to the next in the queues when dropped.
pub(super) struct HashPermit {
    permits: HashPermits,
}

impl HashPermits {
    /// `count`: permits, at least 1.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        let state = PermitQueues {
            free: count,
            logins: VecDeque::new(),
            registrations: VecDeque::new(),
            logins_in_a_row: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            count,
        }
    }

    /// Waits for a permit, at most for `wait`. `None`: none became free, or too many wait already.
    pub async fn take(&self, purpose: HashPurpose, wait: Duration) -> Option<HashPermit> {
        let waiter = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Some(HashPermit {
                    permits: self.clone(),
                });
            }
            let (queue, per_permit) = match purpose {
                HashPurpose::Login => (&mut state.logins, LOGINS_WAITING_PER_PERMIT),
                HashPurpose::Registration => {
                    (&mut state.registrations, REGISTRATIONS_WAITING_PER_PERMIT)
                }
            };
            queue.retain(|waiter| !waiter.is_closed());
            if queue.len() >= per_permit * self.count {
                return None;
            }
            let (sender, waiter) = oneshot::channel();
            queue.push_back(sender);
            waiter
        };
        timeout(wait, waiter).await.ok()?.ok()
    }

    fn lock(&self) -> MutexGuard<'_, PermitQueues> {
        // Nothing in here can panic half way, so a poisoned lock still guards whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PermitQueues {
    /// The next waiter of the queues, if there is one.
    fn next(&mut self) -> Option<oneshot::Sender<HashPermit>> {
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

/// The first waiter that has not given up.
fn next_open(
    queue: &mut VecDeque<oneshot::Sender<HashPermit>>,
) -> Option<oneshot::Sender<HashPermit>> {
    std::iter::from_fn(|| queue.pop_front()).find(|waiter| !waiter.is_closed())
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.permits.lock();
            let next = state.next();
            state.free += usize::from(next.is_none());
            next
        };
        if let Some(waiter) = next {
            // A waiter that gave up at this moment drops the permit, which is then passed on again.
            let _ = waiter.send(HashPermit {
                permits: self.permits.clone(),
            });
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
        ($name:ident, $permits:expr, $purpose:expr) => {
            let mut $name = pin!($permits.take($purpose, LONG));
            assert!((&mut $name).now_or_never().is_none(), "no permit is free");
        };
    }

    #[actix_rt::test]
    async fn a_login_overtakes_registrations() {
        let permits = HashPermits::new(1);
        let first = permits.take(HashPurpose::Registration, LONG).await.unwrap();
        waiting!(registration, permits, HashPurpose::Registration);
        waiting!(login, permits, HashPurpose::Login);
        drop(first);
        assert!((&mut registration).now_or_never().is_none());
        drop(login.await.unwrap());
        drop(registration.await.unwrap());
        assert_eq!(permits.lock().free, 1);
    }

    #[actix_rt::test]
    async fn every_fifth_turn_is_a_registration_if_one_waits() {
        let permits = HashPermits::new(1);
        let mut permit = permits.take(HashPurpose::Login, LONG).await.unwrap();
        waiting!(registration, permits, HashPurpose::Registration);
        for _ in 0..LOGINS_IN_A_ROW_MAX {
            waiting!(login, permits, HashPurpose::Login);
            drop(permit);
            assert!((&mut registration).now_or_never().is_none());
            permit = login.await.unwrap();
        }
        waiting!(login, permits, HashPurpose::Login);
        drop(permit);
        assert!((&mut login).now_or_never().is_none());
        drop(registration.await.unwrap());
        drop(login.await.unwrap());
    }

    #[actix_rt::test]
    async fn a_full_queue_of_registrations_refuses_them_and_no_login() {
        let permits = HashPermits::new(2);
        let held = [
            permits.take(HashPurpose::Login, LONG).await.unwrap(),
            permits.take(HashPurpose::Login, LONG).await.unwrap(),
        ];
        let mut queued = Vec::new();
        for _ in 0..2 * REGISTRATIONS_WAITING_PER_PERMIT {
            let mut waiter = Box::pin(permits.take(HashPurpose::Registration, LONG));
            assert!((&mut waiter).now_or_never().is_none());
            queued.push(waiter);
        }
        assert!(
            matches!(
                permits.take(HashPurpose::Registration, LONG).now_or_never(),
                Some(None)
            ),
            "refused at once"
        );
        waiting!(login, permits, HashPurpose::Login);
        // A waiter that gives up leaves room for another.
        queued.pop();
        waiting!(another, permits, HashPurpose::Registration);
        drop((held, queued));
        assert!(login.await.is_some());
        assert!(another.await.is_some());
    }

    #[actix_rt::test]
    async fn a_turn_given_to_somebody_who_gave_up_goes_to_the_next() {
        let permits = HashPermits::new(1);
        let first = permits.take(HashPurpose::Login, LONG).await.unwrap();
        let mut gone = Box::pin(permits.take(HashPurpose::Login, LONG));
        assert!((&mut gone).now_or_never().is_none());
        waiting!(next, permits, HashPurpose::Login);
        drop(first);
        // It has the permit, and is never polled.
        drop(gone);
        drop(next.await.unwrap());
        assert_eq!(permits.lock().free, 1);
    }

    #[actix_rt::test]
    async fn waiting_has_an_end() {
        let permits = HashPermits::new(1);
        let held = permits.take(HashPurpose::Login, LONG).await.unwrap();
        assert!(
            permits
                .take(HashPurpose::Login, Duration::from_millis(10))
                .await
                .is_none()
        );
        drop(held);
        assert!(
            permits
                .take(HashPurpose::Login, LONG)
                .now_or_never()
                .is_some()
        );
    }
}
