//! A copy of the file while servers write to it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::file_url;
use crate::storage::StoreError;

/// Copies the database at `from` into the new file `to`, as it was at one moment, and returns the
/// size of the copy in bytes. Blocks as long as that takes; nobody who writes waits for it. `from`
/// is read as it is: no migration runs.
///
/// `to` appears when the copy is complete and on the disk. What an interrupted call leaves behind
/// is beside it and ends in `.part`, which the next call replaces. Fails if `to` exists.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let cannot = |what: &Path, error: io::Error| {
        StoreError::Unavailable(format!("{}: {error}", what.display()))
    };
    // Connecting would create it.
    fs::metadata(from).map_err(|error| cannot(from, error))?;
    if to.symlink_metadata().is_ok() {
        return Err(cannot(to, io::ErrorKind::AlreadyExists.into()));
    }
    let part = part_of(to);
    create_private_anew(&part).map_err(|error| cannot(&part, error))?;
    let copied = copy(from, &part).and_then(|()| {
        // A link and not a rename: that would replace a file which somebody else made meanwhile.
        fs::hard_link(&part, to).map_err(|error| cannot(to, error))?;
        sync_folder(to).map_err(|error| cannot(to, error))
    });
    let removed = fs::remove_file(&part).map_err(|error| cannot(&part, error));
    copied.and(removed)?;
    let copy = fs::metadata(to).map_err(|error| cannot(to, error))?;
    Ok(copy.len())
}

/// One statement reads one state of the database, and in WAL mode delays no writer. SQLite writes
/// the copy to the disk before it returns, as the connection does with its own commits.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let to = file_url(to)?;
    let mut conn = SqliteConnection::establish(&file_url(from)?)?;
    conn.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL")?;
    diesel::sql_query("VACUUM INTO ?")
        .bind::<Text, _>(to)
        .execute(&mut conn)?;
    Ok(())
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// SQLite fills an empty file that is there, and one that it made others could read.
fn create_private_anew(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(|_| ())
}

/// A new name in a folder outlives a power cut only then.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
