//! For tests of those above the store.

use std::path::Path;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;

/// Holds a SQLite database's write lock, so that no commit gets through, as a store that hangs
/// would.
pub struct WriteLock(SqliteConnection);

impl WriteLock {
    pub fn take(path: &Path) -> Self {
        let mut connection = SqliteConnection::establish(&path.display().to_string()).unwrap();
        connection
            .batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE")
            .unwrap();
        Self(connection)
    }

    pub fn release(mut self) {
        self.0.batch_execute("COMMIT").unwrap();
    }
}

/// Makes the store fail, for good, on every comment that says `content`.
pub fn poison_comments(path: &Path, content: &str) {
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let trigger = format!(
        "PRAGMA busy_timeout = 20000; CREATE TRIGGER poison BEFORE INSERT ON comments WHEN NEW.content = '{content}' \
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
    );
    conn.batch_execute(&trigger).unwrap();
}
