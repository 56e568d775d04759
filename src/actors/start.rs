//! Actors on other threads, with a mailbox that is right from the start.

use actix::dev::channel::channel;
use actix::prelude::*;

/// Starts an actor in `arbiter` whose mailbox holds `mailbox` messages at once.
///
/// actix's own `start_in_arbiter` gives every actor a mailbox of 16, which the actor can change
/// when its thread gets to it. Until then the address is out and refuses what is more: of 60 users
/// who opened a room together, 14 were answered that it was busy.
pub fn start_in_arbiter<A>(
    arbiter: &ArbiterHandle,
    mailbox: usize,
    make: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>>,
{
    let (sender, receiver) = channel(mailbox);
    arbiter.spawn_fn(move || {
        let mut ctx = Context::with_receiver(receiver);
        let actor = make(&mut ctx);
        actix_rt::spawn(ctx.into_future(actor));
    });
    Addr::new(sender)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Counter(mpsc::Sender<u32>);

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Count(u32);

    impl Handler<Count> for Counter {
        type Result = ();

        fn handle(&mut self, count: Count, _: &mut Context<Self>) {
            let _ = self.0.send(count.0);
        }
    }

    #[actix::test]
    async fn messages_wait_for_an_actor_whose_thread_is_late() {
        let thread = Arbiter::new();
        let (release, held) = mpsc::channel::<()>();
        thread.spawn_fn(move || {
            let _ = held.recv();
        });
        let (counted, counts) = mpsc::channel();
        let counter = start_in_arbiter(&thread.handle(), 100, move |_| Counter(counted));
        for n in 0..100 {
            counter
                .try_send(Count(n))
                .unwrap_or_else(|_| panic!("message {n} was refused"));
        }
        drop(release);
        let received: Vec<u32> = counts.iter().take(100).collect();
        assert_eq!(received, (0..100).collect::<Vec<_>>());
    }
}
