//! What the moderators of a room are notified of about reports.

use super::Room;
use crate::domain::report::ReportsChange;
use crate::domain::{Effect, News, Timestamp};

impl<H: Clone> Room<H> {
    /// The queue of reports changed, on whatever node.
    pub(super) fn reports_changed(
        &mut self,
        change: ReportsChange,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        self.report_notices.gather(change);
        self.notify_of_reports(now)
    }

    /// Notifies the streamer and the moderators, if it is time.
    pub(super) fn notify_of_reports(&mut self, now: Timestamp) -> Vec<Effect<H>> {
        let Some((open, comments)) = self.report_notices.take_due(now) else {
            return Vec::new();
        };
        let news = News::Reported {
            open,
            comments: comments.into(),
        };
        self.notify(self.moderating_users(), &news).collect()
    }
}
