//! The chain of seals over the audit.
//!
//! Rows are sealed up to a second after they were committed, and never in the transaction of the
//! change itself, where all changes would wait for one lock. A seal covers all rows of a range of
//! ids: it has the digest of each, and a hash of itself and of the seal before it. So nobody can
//! change, remove or add a row in a range that is sealed, or a seal, without making all seals from
//! there on anew; and the hash of the newest seal, which is logged with a code that takes the
//! secret of the configuration, shows that too.
//!
//! A range may be sealed when no transaction is left that could still add a row to it. SQLite has
//! one writer, so ids are committed in their order. PostgreSQL gives ids before commits: there a
//! range ends at a [`SealHorizon`], and waits until every transaction older than that has ended.

use std::collections::BTreeMap;
use std::fmt;

use diesel::prelude::*;
use sha2::{Digest, Sha256};

use super::audit_log::AuditEntry;
use super::schema::audit_seals;
use crate::domain::Timestamp;

/// Rows of one seal at most: as many are read and hashed in one go, some milliseconds.
pub(super) const SEAL_ROWS_MAX: u32 = 1_024;

/// What begins the input of each kind of hash, so that none can be taken for another.
const ROW_TAG: &[u8] = b"liveroom audit row 1\0";
const SEAL_TAG: &[u8] = b"liveroom audit seal 1\0";

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// The hash before the first seal.
pub(super) const NO_HASH: Hash = [0; 32];

const ID_BYTES: usize = 8;
const LEAF_BYTES: usize = ID_BYTES + 32;

/// How far ids have been given, and a transaction that began after that: when all older ones have
/// ended, no row up to that id can be added any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealHorizon {
    pub(super) last_id: i64,
    /// A transaction of PostgreSQL.
    pub(super) xact: String,
}

/// What one step of sealing did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealStep {
    /// Rows that are sealed since.
    pub rows: usize,
    /// To be handed to the next step.
    pub horizon: Option<SealHorizon>,
    /// There are rows that could be sealed at once.
    pub has_more: bool,
}

/// A seal, by which the chain up to it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealHead {
    pub id: i64,
    pub hash: [u8; 32],
}

impl fmt::Display for SealHead {
    /// `12:0a1b…`, the hash in hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, hex(&self.hash))
    }
}

/// The result of recomputing the chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainReport {
    pub seals_count: i64,
    pub sealed_rows: i64,
    /// The newest seal, if there is any.
    pub head: Option<SealHead>,
    /// Rows after the newest seal, of which the chain says nothing yet.
    pub unsealed_rows: i64,
    /// When the oldest of these was written.
    pub unsealed_since: Option<Timestamp>,
    /// At most [`ChainReport::FAULTS_MAX`]; empty when the chain holds.
    pub faults: Vec<ChainFault>,
}

impl ChainReport {
    /// Faults listed at most.
    pub const FAULTS_MAX: usize = 1_000;

    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn add(&mut self, fault: ChainFault) {
        if !self.is_full() {
            self.faults.push(fault);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= Self::FAULTS_MAX
    }
}

/// One place where the audit is not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFault {
    /// The row is another one than when it was sealed.
    RowChanged(i64),
    /// The row was sealed and is gone.
    RowMissing(i64),
    /// The row was added after its range had been sealed.
    RowAdded(i64),
    /// The seal is not what its hash, or the hash of the seal before, says.
    SealChanged(i64),
    SealMissing(i64),
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowChanged(id) => write!(f, "audit_row_changed: audit {id}"),
            Self::RowMissing(id) => write!(f, "audit_row_missing: audit {id}"),
            Self::RowAdded(id) => write!(f, "audit_row_added: audit {id}"),
            Self::SealChanged(id) => write!(f, "audit_seal_changed: audit_seals {id}"),
            Self::SealMissing(id) => write!(f, "audit_seal_missing: audit_seals {id}"),
        }
    }
}

impl AuditEntry {
    /// Of all columns in their order. Each says how long it is, so that no two rows have one
    /// encoding.
    pub(super) fn digest(&self) -> Hash {
        let mut sha = Sha256::new_with_prefix(ROW_TAG);
        let mut add = |value: Option<&[u8]>| match value {
            None => sha.update([0]),
            Some(bytes) => {
                sha.update([1]);
                sha.update((bytes.len() as u64).to_be_bytes());
                sha.update(bytes);
            }
        };
        let number = |number: i64| number.to_be_bytes();
        add(Some(&number(self.id)));
        add(Some(&number(self.at)));
        add(Some(self.actor_kind.as_bytes()));
        add(Some(&number(self.actor_id)));
        add(Some(self.role.as_bytes()));
        add(self.address.as_deref().map(str::as_bytes));
        add(Some(self.scope.as_bytes()));
        add(self.scope_id.map(number).as_ref().map(<[u8; 8]>::as_slice));
        add(Some(self.action.as_bytes()));
        add(self.target_id.map(number).as_ref().map(<[u8; 8]>::as_slice));
        add(Some(self.arguments.as_bytes()));
        for text in [&self.before, &self.after, &self.reason, &self.request_id] {
            add(text.as_deref().map(str::as_bytes));
        }
        add(Some(self.result.as_bytes()));
        sha.finalize().into()
    }
}

/// A seal as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_seals)]
pub(super) struct Seal {
    pub id: i64,
    pub from_id: i64,
    pub to_id: i64,
    pub leaves: Vec<u8>,
    pub hash: Vec<u8>,
    pub at: i64,
}

impl Seal {
    /// The seal after `last`, over `rows`: all those after it up to `to_id`, in the order of their
    /// ids.
    pub(super) fn after(
        last: Option<&Self>,
        rows: &[AuditEntry],
        to_id: i64,
        at: Timestamp,
    ) -> Self {
        let mut seal = Self {
            id: last.map_or(1, |last| last.id + 1),
            from_id: Self::next_id(last),
            to_id,
            leaves: Vec::with_capacity(rows.len() * LEAF_BYTES),
            hash: Vec::new(),
            at: at.0,
        };
        for row in rows {
            seal.leaves.extend(row.id.to_be_bytes());
            seal.leaves.extend(row.digest());
        }
        seal.hash = seal.computed(last).to_vec();
        seal
    }

    /// The first id that a seal does not cover.
    pub(super) fn next_id(last: Option<&Self>) -> i64 {
        last.map_or(1, |last| last.to_id.saturating_add(1))
    }

    pub(super) fn head(&self) -> SealHead {
        SealHead {
            id: self.id,
            // Another length is found by `is_after`.
            hash: self.hash.as_slice().try_into().unwrap_or(NO_HASH),
        }
    }

    fn computed(&self, last: Option<&Self>) -> Hash {
        let mut sha = Sha256::new_with_prefix(SEAL_TAG);
        sha.update(last.map_or(NO_HASH, |last| last.head().hash));
        for number in [self.id, self.from_id, self.to_id, self.at] {
            sha.update(number.to_be_bytes());
        }
        sha.update((self.leaves.len() as u64).to_be_bytes());
        sha.update(&self.leaves);
        sha.finalize().into()
    }

    /// Whether this is a seal as it was made, after that one.
    pub(super) fn is_after(&self, last: Option<&Self>) -> bool {
        self.from_id == Self::next_id(last)
            && self.leaves.len().is_multiple_of(LEAF_BYTES)
            && self.hash == self.computed(last)
    }

    pub(super) fn rows_count(&self) -> usize {
        self.leaves.len() / LEAF_BYTES
    }

    /// Compares the rows that are there now, all of its range, with those that were sealed.
    pub(super) fn compare(&self, rows: &[AuditEntry], report: &mut ChainReport) {
        let mut sealed: BTreeMap<i64, &[u8]> = BTreeMap::new();
        for leaf in self.leaves.chunks_exact(LEAF_BYTES) {
            let (id, digest) = leaf.split_at(ID_BYTES);
            let id = id.try_into().map_or(0, i64::from_be_bytes);
            sealed.insert(id, digest);
        }
        for row in rows {
            match sealed.remove(&row.id) {
                None => report.add(ChainFault::RowAdded(row.id)),
                Some(digest) if digest != row.digest() => {
                    report.add(ChainFault::RowChanged(row.id));
                }
                Some(_) => {}
            }
        }
        for id in sealed.into_keys() {
            report.add(ChainFault::RowMissing(id));
        }
    }
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64) -> AuditEntry {
        AuditEntry {
            id,
            at: 1,
            actor_kind: "user".to_owned(),
            actor_id: 2,
            role: "streamer".to_owned(),
            address: Some("10.0.0.1".to_owned()),
            scope: "live".to_owned(),
            scope_id: Some(3),
            action: "kick".to_owned(),
            target_id: Some(4),
            arguments: "{}".to_owned(),
            before: None,
            after: Some("{}".to_owned()),
            reason: None,
            request_id: Some("r".to_owned()),
            result: "ok".to_owned(),
        }
    }

    /// Each column changed alone, and values moved from one column to the next.
    fn changed_rows() -> Vec<AuditEntry> {
        let change = |change: fn(&mut AuditEntry)| {
            let mut row = row(1);
            change(&mut row);
            row
        };
        vec![
            change(|row| row.id = 2),
            change(|row| row.at = 2),
            change(|row| row.actor_kind = "manager".to_owned()),
            change(|row| row.actor_id = 3),
            change(|row| row.role = "viewer".to_owned()),
            change(|row| row.address = None),
            change(|row| row.scope = "site".to_owned()),
            change(|row| row.scope_id = None),
            change(|row| row.action = "ban".to_owned()),
            change(|row| row.target_id = Some(5)),
            change(|row| row.arguments = "{ }".to_owned()),
            change(|row| row.before = Some(String::new())),
            change(|row| row.after = None),
            change(|row| row.reason = Some("why".to_owned())),
            change(|row| row.request_id = None),
            change(|row| row.result = "not_allowed".to_owned()),
            change(|row| (row.before, row.after) = (row.after.take(), row.before.take())),
            change(|row| (row.reason, row.request_id) = (row.request_id.take(), None)),
        ]
    }

    #[test]
    fn a_digest_depends_on_every_column() {
        let rows = changed_rows();
        let mut digests: Vec<Hash> = rows.iter().map(AuditEntry::digest).collect();
        digests.push(row(1).digest());
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), rows.len() + 1);
    }

    #[test]
    fn a_digest_is_the_same_in_every_version() {
        assert_eq!(
            hex(&row(1).digest()),
            "413d6c6b5ea9fc78424e3a71ecb08633601cb1c80012ee524ebe47f77559a678"
        );
    }

    #[test]
    fn a_seal_depends_on_all_that_it_says_and_on_the_one_before() {
        let first = Seal::after(None, &[row(1), row(3)], 3, Timestamp(5));
        let second = Seal::after(Some(&first), &[row(4)], 7, Timestamp(6));
        assert!(first.is_after(None) && second.is_after(Some(&first)));
        assert_eq!((second.id, second.from_id, second.rows_count()), (2, 4, 1));
        let change = |change: fn(&mut Seal)| {
            let mut seal = second.clone();
            change(&mut seal);
            seal
        };
        for changed in [
            change(|seal| seal.id = 3),
            change(|seal| seal.from_id = 5),
            change(|seal| seal.to_id = 8),
            change(|seal| seal.at = 7),
            change(|seal| seal.leaves[9] ^= 1),
            change(|seal| seal.leaves.clear()),
            change(|seal| seal.hash[0] ^= 1),
            change(|seal| seal.hash.clear()),
        ] {
            assert!(!changed.is_after(Some(&first)), "{changed:?}");
        }
        let other = Seal::after(None, &[row(1)], 3, Timestamp(5));
        assert!(!second.is_after(Some(&other)), "after another one");
        assert!(!second.is_after(None), "after none");
    }

    #[test]
    fn a_comparison_names_each_row_that_is_not_as_it_was_sealed() {
        let seal = Seal::after(None, &[row(1), row(2), row(4)], 5, Timestamp(5));
        let mut report = ChainReport::default();
        seal.compare(&[row(1), row(2), row(4)], &mut report);
        assert!(report.holds());
        let changed = AuditEntry {
            reason: Some("another".to_owned()),
            ..row(2)
        };
        seal.compare(&[changed, row(3), row(4)], &mut report);
        assert_eq!(
            report.faults,
            [
                ChainFault::RowChanged(2),
                ChainFault::RowAdded(3),
                ChainFault::RowMissing(1)
            ]
        );
    }
}
