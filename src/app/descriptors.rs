//! LimitsConfig of connections that fit the descriptors which the process may have.

use log::{info, warn};

use crate::config::{Config, LimitsConfig};
use crate::limits::ADMIN_CONNECTIONS_MAX;
use crate::transport::REFUSALS_MAX;

/// Descriptors of one worker or room thread: its event queue and what wakes it.
const PER_THREAD: usize = 8;

/// Descriptors for everything else: logs, the database's files, the listener and the resolver.
const OTHERS: usize = 48;

/// Raises the soft limit of open files to the hard one, and lowers the limits of connections to
/// what that allows: a quarter for HTTP at most, the rest for WebSockets. With no descriptor left
/// nobody can connect, since a connection must be accepted before another one can be closed for it.
pub(super) fn within_limit(config: &Config) -> Config {
    let mut config = config.clone();
    let files_max = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files_max) => usize::try_from(files_max).unwrap_or(usize::MAX),
        Err(fault) => {
            warn!("open files limit not raised: error={fault}");
            return config;
        }
    };
    info!("open files: limit={files_max}");
    let Some(fitting) = fitting(&config, files_max) else {
        return config;
    };
    let LimitsConfig {
        connections,
        http_connections,
        ..
    } = fitting;
    let lowered = format!(
        "open files limit is lower than the limits of connections need: limit={files_max} connections={connections} http_connections={http_connections}"
    );
    // The defaults are meant for any machine. Where an operator chose numbers, they do not hold.
    if is_default(&config.limits) {
        info!("{lowered}")
    } else {
        warn!("{lowered}")
    }
    config.limits = fitting;
    config
}

fn is_default(limits: &LimitsConfig) -> bool {
    let default = LimitsConfig::default();
    (limits.connections, limits.http_connections) == (default.connections, default.http_connections)
}

/// The limits with connections lowered to `files_max`; `None` where there are enough descriptors.
fn fitting(config: &Config, files_max: usize) -> Option<LimitsConfig> {
    let threads = config.server.workers.get() + config.server.room_threads.get();
    let pools = config.store.pool_size + config.cluster.redis_pool_size;
    let operators = match config.server.admin_listen {
        Some(_) => ADMIN_CONNECTIONS_MAX + REFUSALS_MAX,
        None => 0,
    };
    let reserved = OTHERS + PER_THREAD * threads + pools as usize + REFUSALS_MAX + operators;
    let left = files_max.saturating_sub(reserved).max(2);
    let mut limits = config.limits.clone();
    if left >= limits.connections.saturating_add(limits.http_connections) {
        return None;
    }
    limits.http_connections = limits.http_connections.min((left / 4).max(1));
    limits.connections = limits.connections.min(left - limits.http_connections);
    Some(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_lowered_to_the_descriptors_there_are() {
        let config = Config::default();
        assert!(fitting(&config, 1_000_000).is_none(), "there are enough");
        for files_max in [0, 64, 400, 4_096, 65_536] {
            let limits = fitting(&config, files_max).expect("there are too few");
            assert!(
                limits.http_connections >= 1 && limits.connections >= 1,
                "{files_max}"
            );
            assert!(
                limits.http_connections + limits.connections <= files_max.max(2),
                "{files_max}"
            );
        }
    }

    #[test]
    fn operators_with_an_address_of_their_own_have_descriptors_of_their_own() {
        let mut config = Config::default();
        let taken = |config: &Config| {
            let limits = fitting(config, 4_096).expect("there are too few");
            limits.connections + limits.http_connections
        };
        let before = taken(&config);
        config.server.admin_listen = Some(([127, 0, 0, 1], 0).into());
        assert_eq!(
            before - taken(&config),
            ADMIN_CONNECTIONS_MAX + REFUSALS_MAX
        );
    }

    #[test]
    fn limits_that_fit_stay_as_they_were_chosen() {
        let mut config = Config::default();
        config.limits.connections = 200;
        config.limits.http_connections = 100;
        assert!(fitting(&config, 1_024).is_none());
        assert!(
            !is_default(&config.limits),
            "a warning where they do not fit"
        );
    }
}
