//! The disk under SQLite is full.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::room_under_load::{LOAD_ENV, RoomUnderLoad};
use crate::support::{TestServer, eventually};

/// Bytes of the disk: the tables with the rows of one run in them, and some free space.
const DISK: &str = "size=16m";

/// A disk so small that it can be filled, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `Err` says why there can be none here.
    fn mount() -> Result<Self, String> {
        let dir = TempDir::new().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
            .arg(dir.path());
        let done = mount.output().map_err(|error| format!("mount: {error}"))?;
        if done.status.success() {
            Ok(Self(dir))
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves not a byte free.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).expect("a file");
        let block = [0; 4_096];
        let error = loop {
            if let Err(error) = ballast.write_all(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also while a process that outlives a failed test has a file open there.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

#[test]
fn a_full_disk_refuses_gifts_loses_nothing_and_is_written_to_again_when_there_is_room() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: no small disk can be mounted here: {reason}"),
    };
    let url = format!("sqlite://{}", disk.path().join("liveroom.db").display());
    let mut env = vec![("LIVEROOM__STORE__URL", url.as_str())];
    env.extend(LOAD_ENV);
    let mut server = TestServer::start(&env);
    let mut load = RoomUnderLoad::begin(&server);

    disk.fill();
    let failing_after = load.store_is_said_to_fail();
    load.gifts_are_refused();
    load.room_goes_on(false);
    eventually("operators are told", || {
        (!server.logged("store is away").is_empty()).then_some(())
    });
    server.assert_books_balance();

    disk.free();
    let (ready, healed) = load.heals();
    eventually("operators are told", || {
        (!server.logged("store is back").is_empty()).then_some(())
    });
    let report = load.end();
    println!(
        "full: said so after {failing_after:?}, ready {ready:?} and gifts {healed:?} after there was room, {report:?}"
    );

    server.kill();
    let audit = server.run(&["audit"]);
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
    server.restart();
    server.assert_books_balance();
}
