//! CPU time, which says more than the clock on a machine that others share.

use std::fs;

/// What PostgreSQL and this process have used so far, in microseconds.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub server_us: u64,
    pub own_us: u64,
}

impl Cpu {
    /// Reads the times of the server's processes, whose parent is `postmaster`, and of this one.
    pub fn now(postmaster: u32) -> Self {
        let mut now = Self {
            server_us: 0,
            own_us: 0,
        };
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            // A process may end while it is being read.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            // The name may hold anything, up to the last parenthesis. Then: state, parent, ...
            let fields: Vec<&str> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let field = |at: usize| {
                fields
                    .get(at)
                    .and_then(|text| text.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            let used = field(11) + field(12);
            if pid == std::process::id() {
                now.own_us += used * TICK_US;
            } else if pid == postmaster {
                // With those of its processes that ended.
                now.server_us += (used + field(13) + field(14)) * TICK_US;
            } else if field(1) == u64::from(postmaster) {
                now.server_us += used * TICK_US;
            }
        }
        now
    }

    pub fn since(self, earlier: Self) -> Self {
        let (server_us, own_us) = (
            self.server_us - earlier.server_us,
            self.own_us - earlier.own_us,
        );
        Self { server_us, own_us }
    }
}

/// A tick of /proc: USER_HZ is 100 on every Linux that Rust runs on.
const TICK_US: u64 = 10_000;
