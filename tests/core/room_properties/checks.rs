//! What must hold after every step, and at the end.

use liveroom::domain::RoomEvent;

use super::step::{SESSIONS, Step};
use super::{OPENING, SETTINGS, World, gift_command};

impl World {
    /// What holds after every step.
    pub(super) fn check(&self) {
        self.clients.check(&self.attached, self.last_offset);
        assert_eq!(self.attached, self.sessions.keys().copied().collect());
        assert_eq!(self.room.members().members_count(), self.sessions.len());
        assert_eq!(self.room.members().users_count(), self.online().len());
        let deadline = self.room.next_deadline();
        let grace_ends = self.lingering.values().min().copied();
        assert!(grace_ends.is_none_or(|at| deadline.is_some_and(|deadline| deadline <= at)));
        // A change that waits is told within the merge interval. When nothing is due by then,
        // nothing waits; a grace that happens to end by then does not tell.
        let is_due_soon =
            deadline.is_some_and(|at| at.since(self.now) <= SETTINGS.presence.merge_ms);
        if !is_due_soon {
            assert_eq!(deadline, grace_ends, "a change waits too long");
            self.views.check(&self.online(), &SETTINGS.presence);
        }
        assert_eq!(self.room.position().offset, self.last_offset);
        let ledger = self.room.ledger();
        assert!(OPENING.get() + ledger.posted().get() <= ledger.total().get());
        assert!(ledger.total().get() <= OPENING.get() + self.books.given.get());
        let waiting = self.unplaced.iter().filter_map(|event| match event {
            RoomEvent::Gift { receipt, .. } => Some(receipt.total.get()),
            _ => None,
        });
        assert_eq!(
            ledger.posted().get(),
            self.told_coins + waiting.sum::<i64>()
        );
    }

    /// What holds once everybody has answered and left.
    pub(super) fn check_settled(&mut self) {
        self.settle();
        self.store_full = false;
        for session in 0..SESSIONS {
            self.run(Step::Leave { session });
        }
        self.wait(SETTINGS.leave_grace_ms);
        // A calm second after one in which comments were sampled out.
        self.wait(1_000);
        self.check();
        assert_eq!(
            self.answered.len() as i64,
            self.asked_count,
            "a command was not answered"
        );
        assert_eq!(self.room.in_flight_count(), 0);
        assert!(self.room.is_idle());
        assert_eq!(
            self.room.sampled_out_count() as usize,
            self.sampled_out.len()
        );
        assert!(self.echoed.is_subset(&self.sampled_out));
        assert!(
            self.rate.is_none_or(|rate| rate.shown == rate.total),
            "nobody heard that sampling is over"
        );
        assert_eq!(self.room.next_deadline(), None);
    }

    /// Every giver whose answer was lost asks again: then all that the books hold is told.
    pub(super) fn check_retried(&mut self) {
        self.wait(60_000);
        let wanted: Vec<_> = self
            .books
            .records
            .iter()
            .map(|((user, id), (_, gift))| (*user, id.clone(), *gift))
            .collect();
        for (user, request_id, gift_id) in wanted {
            self.wait(1_000);
            self.join(0, user);
            let to = self.ask(0);
            let decision = self.handle(&to, user, gift_command(Some(gift_id), request_id));
            self.decide(&to, decision);
            self.settle();
        }
        assert_eq!(self.told_gifts.len(), self.books.records.len());
        assert_eq!(self.room.ledger().posted(), self.books.given);
        assert_eq!(
            Some(self.room.ledger().total()),
            OPENING.checked_add(self.books.given)
        );
    }
}
