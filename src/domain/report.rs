//! Reports of comments, and how moderators learn of them.
//!
//! Members report comments; the store has the queue. A comment leaves it when it is taken down or
//! when a moderator dismisses its reports; after that, further reports of it count for
//! nothing.
//!
//! A wave of reports is one notice now and then: the log of the room has only those that make
//! the number of a comment one that [`is_news`], and a room gathers them for [`NOTICE_EVERY_MS`].

use super::{BucketRate, CommentId, Timestamp};

/// Comments that may wait in the queue of a live; a report of one more is refused.
pub const REPORTED_COMMENTS_MAX: i64 = 500;
/// Reports of one comment that are counted. More change nothing.
pub const REPORTS_OF_COMMENT_MAX: i64 = 100;
/// Reports that one user makes in [`REPORTS_OF_USER_MS`]; one more is refused.
pub const REPORTS_OF_USER_MAX: i64 = 100;
/// In milliseconds: a day.
pub const REPORTS_OF_USER_MS: i64 = 86_400_000;
/// How often a user may report on one node.
pub const REPORT_RATE: BucketRate = BucketRate {
    burst: 5,
    refill: 5,
    per_ms: 60_000,
};
/// Time between two notices of a room, in milliseconds.
pub const NOTICE_EVERY_MS: i64 = 2_000;
/// Comments that one notice names: those reported last.
pub const NOTICE_COMMENTS_MAX: usize = 20;

/// Whether moderators are notified when a comment has got so many reports.
pub const fn is_news(reports: i64) -> bool {
    matches!(reports, 1 | 2 | 5 | 10 | 20 | 50 | REPORTS_OF_COMMENT_MAX)
}

/// A reported comment, and how many reported it; 0: its reports were dismissed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedComment {
    pub comment_id: CommentId,
    pub reports: i64,
}

/// What an action did to the queue of a live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportsChange {
    pub comment: ReportedComment,
    /// Comments in the queue after it.
    pub open: i64,
}

/// Gathers what a room's next notice says.
#[derive(Debug, Default)]
pub(super) struct ReportNotices {
    gathered: Vec<ReportedComment>,
    open: i64,
    last_at: Option<Timestamp>,
}

impl ReportNotices {
    pub(super) fn gather(&mut self, ReportsChange { comment, open }: ReportsChange) {
        self.open = open;
        self.gathered
            .retain(|known| known.comment_id != comment.comment_id);
        if self.gathered.len() == NOTICE_COMMENTS_MAX {
            self.gathered.remove(0);
        }
        self.gathered.push(comment);
    }

    /// When the next notice is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let next = self
            .last_at
            .map_or(Timestamp(0), |at| at.plus_ms(NOTICE_EVERY_MS));
        (!self.gathered.is_empty()).then_some(next)
    }

    /// The notice that is due: how many comments are in the queue, and those that changed.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(i64, Vec<ReportedComment>)> {
        self.due().filter(|due| *due <= now)?;
        self.last_at = Some(now);
        Some((self.open, std::mem::take(&mut self.gathered)))
    }
}
