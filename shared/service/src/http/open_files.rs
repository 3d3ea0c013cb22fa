use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Open files that the process needs apart from HTTP connections: log, event queues, signals,
/// listeners, Redis, and the services that a worker calls. An idle gateway has about 20.
const OWN_FILES: u64 = 48;
/// Connections reserved for the admin listener, so that many public connections cannot block it.
pub(super) const ADMIN_CONNECTIONS: u64 = 256;

/// How many of the `wanted` public connections the limit of open files allows (`RLIMIT_NOFILE`,
/// `ulimit -n`). A connection above that would take an open file from Redis or from a probe. Further
/// connections wait in the system's queue.
///
/// If the soft limit is too low, it is raised as far as the hard limit allows. If that is not enough,
/// the log says so.
pub(super) fn for_public(wanted: usize) -> usize {
    let wanted = wanted as u64;
    let limit = raised_to(wanted.saturating_add(ADMIN_CONNECTIONS + OWN_FILES));
    let granted = public_share(limit, wanted);
    if granted < wanted {
        tracing::warn!(
            open_files = limit,
            wanted,
            connections = granted,
            "serving fewer connections than MAX_CONNECTIONS, because the limit of open files is too low; raise the limit (ulimit -n, LimitNOFILE) or lower MAX_CONNECTIONS"
        );
    }
    granted as usize
}

/// How many connections of the admin listener the limit of open files allows.
pub(super) fn for_admin() -> usize {
    admin_share(raised_to(ADMIN_CONNECTIONS + OWN_FILES)) as usize
}

fn public_share(limit: u64, wanted: u64) -> u64 {
    limit.saturating_sub(OWN_FILES + admin_share(limit)).clamp(1, wanted)
}

fn admin_share(limit: u64) -> u64 {
    (limit / 8).clamp(1, ADMIN_CONNECTIONS)
}

/// The limit of open files, raised to `enough` if the hard limit allows that.
fn raised_to(enough: u64) -> u64 {
    // It fails for invalid arguments only, and these are valid.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return enough };
    let raised = enough.min(hard);
    if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
        return raised;
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_connections_leave_files_for_the_rest() {
        for (limit, wanted, public, admin) in [
            (1_048_576, 8_192, 8_192, 256),
            (8_496, 8_192, 8_192, 256),
            (8_495, 8_192, 8_191, 256),
            (1_024, 8_192, 848, 128),
            (128, 8_192, 64, 16),
            (128, 10, 10, 16),
            (16, 8_192, 1, 2),
            (0, 8_192, 1, 1),
        ] {
            assert_eq!(
                (public_share(limit, wanted), admin_share(limit)),
                (public, admin),
                "{limit} {wanted}"
            );
        }
    }
}
