use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files the process needs for itself: log, event queues, signals, listeners, Redis, whatever a
/// worker calls. A gateway at rest holds about twenty.
const OWN_FILES: u64 = 48;
/// Connections of the admin listener, which a flood of the public one must not keep out.
pub(super) const ADMIN_CONNECTIONS: u64 = 256;

/// How many of `wanted` public connections this process has open files for (`RLIMIT_NOFILE`,
/// `ulimit -n`). A connection that is accepted beyond that would cost Redis or a probe theirs, and
/// one that cannot be accepted waits in the system's queue.
///
/// Raises the soft limit as far as the hard one allows before it says no; what it could not get is
/// in the log.
pub(super) fn for_public(wanted: usize) -> usize {
    let wanted = wanted as u64;
    let limit = raised_to(wanted.saturating_add(ADMIN_CONNECTIONS + OWN_FILES));
    let granted = public_share(limit, wanted);
    if granted < wanted {
        tracing::warn!(
            open_files = limit,
            wanted,
            connections = granted,
            "fewer connections are served at once than MAX_CONNECTIONS says, because the process may open few files; raise the limit (ulimit -n, LimitNOFILE) or lower MAX_CONNECTIONS"
        );
    }
    granted as usize
}

/// How many connections the admin listener has open files for.
pub(super) fn for_admin() -> usize {
    admin_share(raised_to(ADMIN_CONNECTIONS + OWN_FILES)) as usize
}

fn public_share(limit: u64, wanted: u64) -> u64 {
    limit.saturating_sub(OWN_FILES + admin_share(limit)).clamp(1, wanted)
}

fn admin_share(limit: u64) -> u64 {
    (limit / 8).clamp(1, ADMIN_CONNECTIONS)
}

/// The limit of open files, raised to `enough` if it may be.
fn raised_to(enough: u64) -> u64 {
    // It fails for arguments that make no sense, which these are not.
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
    fn what_is_wanted_is_granted_beyond_own_files_and_the_admins() {
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
