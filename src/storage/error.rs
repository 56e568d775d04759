//! Sorting what databases say into "later" and "never".

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};

use super::StoreError;

/// Messages of SQLite and PostgreSQL, without an error kind of their own in diesel, after which the
/// same call may succeed later.
const PASSING: [&str; 24] = [
    // SQLite
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "locking protocol",
    "out of memory",
    // PostgreSQL
    "deadlock detected",
    "canceling statement due to",
    "terminating connection",
    "the database system is",
    "too many clients",
    "too many connections",
    "remaining connection slots",
    "No space left on device",
    "could not extend file",
    "could not write",
    "out of shared memory",
    "read-only transaction",
    "during recovery",
    // A pooler put another server behind the connection, or an upgrade changed a table.
    "prepared statement",
    "cached plan must not change",
];

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let passing = match &error {
            Error::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ReadOnlyTransaction => true,
                _ => is_passing(info.message()),
            },
            // The connection is given up after either; the next one is a new one.
            Error::BrokenTransactionManager | Error::RollbackErrorOnCommit { .. } => true,
            _ => false,
        };
        if passing {
            Self::Unavailable(error.to_string())
        } else {
            Self::Fault(error.to_string())
        }
    }
}

impl From<ConnectionError> for StoreError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::InvalidConnectionUrl(_) | ConnectionError::InvalidCString(_) => {
                Self::Fault(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Migrations fail with a boxed error of one of several types; only the words are common to them.
pub(super) fn migration_error(error: &(dyn std::error::Error + Send + Sync)) -> StoreError {
    let message = format!("migration failed: {error}");
    if is_passing(&message) {
        StoreError::Unavailable(message)
    } else {
        StoreError::Fault(message)
    }
}

/// Whether PostgreSQL gave up waiting for a row that somebody else holds.
pub(super) fn is_lock_timeout(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(message) if message.contains("due to lock timeout"))
}

fn is_passing(message: &str) -> bool {
    PASSING.iter().any(|passing| message.contains(passing))
}

/// Whether both databases can keep this text: PostgreSQL has no U+0000.
pub(super) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// Refuses texts that one of the databases cannot keep, so that both refuse the same.
pub(super) fn require_storable(texts: &[&str]) -> Result<(), StoreError> {
    if texts.iter().all(|text| is_storable(text)) {
        return Ok(());
    }
    Err(StoreError::Fault("text contains U+0000".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database_error(kind: DatabaseErrorKind, message: &str) -> StoreError {
        Error::DatabaseError(kind, Box::new(message.to_owned())).into()
    }

    #[test]
    fn what_passes_by_itself_is_unavailable_and_the_rest_is_a_fault() {
        for message in [
            "database is locked",
            "database or disk is full",
            "deadlock detected",
            "cannot assign TransactionIds during recovery",
            "prepared statement \"s1\" does not exist",
        ] {
            let error = database_error(DatabaseErrorKind::Unknown, message);
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        }
        let lost = database_error(DatabaseErrorKind::UnableToSendCommand, "connection closed");
        assert!(matches!(lost, StoreError::Unavailable(_)), "{lost}");
        let wrong = database_error(DatabaseErrorKind::Unknown, "no such table: users");
        assert!(matches!(wrong, StoreError::Fault(_)), "{wrong}");
    }
}
