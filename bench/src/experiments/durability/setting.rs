//! The durability settings of Redis that are compared.

/// One of them.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) options: &'static [&'static str],
    /// Whether a kill of the process may take something that was confirmed.
    pub(super) may_lose: bool,
    /// Whether somebody else writes to the same disk all the time.
    pub(super) disk_is_busy: bool,
}

const NOTHING: Setting = Setting {
    name: "nothing",
    options: &["--save", "", "--appendonly", "no"],
    may_lose: true,
    disk_is_busy: false,
};
const EVERYSEC: Setting = Setting {
    name: "AOF, `everysec`",
    options: &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
    ..NOTHING
};

/// All; the first is what others are compared with.
pub(super) const SETTINGS: [Setting; 5] = [
    NOTHING,
    Setting { name: "RDB, `save 5 1`", options: &["--save", "5 1", "--appendonly", "no"], ..NOTHING },
    EVERYSEC,
    Setting { name: "AOF, `everysec`, in a slow sync", disk_is_busy: true, ..EVERYSEC },
    Setting {
        name: "AOF, `always`",
        options: &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
        may_lose: false,
        ..NOTHING
    },
];
