//! A slower disk, in user space: a library that makes each sync of PostgreSQL's take longer.
//!
//! It is compiled here, into a folder that goes with it, and preloaded into the server alone. The
//! time is slept before the real sync, which is done all the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void take_longer(void) {
    const char *text = getenv("LIVEROOM_SYNC_US");
    long us = text ? atol(text) : 0;
    struct timespec pause = { us / 1000000, us % 1000000 * 1000 };
    if (us > 0) nanosleep(&pause, NULL);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    take_longer();
    return real(fd);
}
"#;

pub struct Disk {
    folder: TempDir,
    sync_us: u64,
}

impl Disk {
    pub fn build(sync_ms: f64) -> Self {
        let folder = TempDir::new().expect("a folder for the library");
        // The server runs as another account when this runs as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("the folder is opened");
        let source = folder.path().join("sync.c");
        fs::write(&source, SOURCE).expect("the source is written");
        let mut compile = Command::new("cc");
        compile
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("sync.so"))
            .arg(&source)
            .arg("-ldl");
        let compiled = compile
            .status()
            .expect("a C compiler, as for the SQLite that is built in");
        assert!(
            compiled.success(),
            "the library of the slower disk does not compile"
        );
        Self {
            folder,
            sync_us: (sync_ms * 1_000.0) as u64,
        }
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        let library = self.folder.path().join("sync.so").display().to_string();
        vec![
            ("LD_PRELOAD".into(), library),
            ("LIVEROOM_SYNC_US".into(), self.sync_us.to_string()),
        ]
    }
}
