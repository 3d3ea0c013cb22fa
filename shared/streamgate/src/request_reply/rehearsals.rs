//! What both sides need of Redis, as commands without effect.

use super::requester::RequesterSettings;
use super::settings::ResponderSettings;
use crate::connection::{LAST_ID, Rehearsal};
use crate::stream::{GroupSettings, StreamKey};

/// What a requester does on its streams, without doing it.
pub(super) fn of_requester(settings: &RequesterSettings, lane: &StreamKey) -> Rehearsal {
    let (requests, lane) = (settings.request_stream.as_str(), lane.as_str());
    let rehearsal = Rehearsal::default()
        .step("xadd", &["XADD", requests, "0-0", "", ""])
        .step("xlen", &["XLEN", requests])
        .step("xread", &["XREAD", "COUNT", "1", "STREAMS", lane, LAST_ID])
        .step("xinfo|stream", &["XINFO", "STREAM", lane])
        .step("xlen", &["XLEN", lane])
        .step("xtrim", &["XTRIM", lane, "MAXLEN", "-1"])
        .step("expire", &["EXPIRE", lane, "1", "NX", "XX"])
        .step("time", &["TIME"]);
    match &settings.workers {
        // What nobody will work on any more is taken back.
        Some(group) => rehearsal
            .step("xinfo|consumers", &["XINFO", "CONSUMERS", requests, &group.name])
            .step("xinfo|groups", &["XINFO", "GROUPS", requests])
            .step("xpending", &["XPENDING", requests, &group.name, LAST_ID, LAST_ID, "1"])
            .step("xrange", &["XRANGE", requests, LAST_ID, LAST_ID])
            .step("xdel", &["XDEL", requests, LAST_ID])
            .step("evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "0"])
            .step("eval", &["EVAL", "return 1", "-1"]),
        None => rehearsal,
    }
}

/// What a worker does on its streams, without doing it.
pub(super) fn of_worker(settings: &ResponderSettings) -> Rehearsal {
    let GroupSettings { stream, group, consumer, .. } = &settings.group;
    let (dead_letters, replies) = (stream.dead_letters(), settings.reply_stream.as_str());
    let (stream, dead_letters) = (stream.as_str(), dead_letters.as_str());
    let lane = format!("{replies}.rehearsal");
    let min_idle = settings.group.claim_min_idle.as_millis().to_string();
    Rehearsal::default()
        .step("xreadgroup", &["XREADGROUP", "GROUP", group, consumer, "STREAMS", stream, "no id"])
        .step("xautoclaim", &["XAUTOCLAIM", stream, group, consumer, &min_idle, "no id"])
        .step("xclaim", &["XCLAIM", stream, group, consumer, "0", "no id"])
        .step("xpending", &["XPENDING", stream, group, LAST_ID, LAST_ID, "1"])
        .step("xrange", &["XRANGE", stream, LAST_ID, LAST_ID])
        .step("xack", &["XACK", stream, group, "0-0"])
        .step("xadd", &["XADD", replies, "0-0", "", ""])
        .step("xadd", &["XADD", &lane, "0-0", "", ""])
        .step("expire", &["EXPIRE", &lane, "1", "NX", "XX"])
        .step("xadd", &["XADD", dead_letters, "0-0", "", ""])
        .step("xlen", &["XLEN", stream])
        .step("xtrim", &["XTRIM", stream, "MAXLEN", "-1"])
        .step("xgroup|create", &["XGROUP", "CREATE", stream, group, "no id"])
        .step("xgroup|delconsumer", &["XGROUP", "DELCONSUMER", stream, group, "no consumer"])
        .step("xinfo|consumers", &["XINFO", "CONSUMERS", stream, group])
        .step("xinfo|groups", &["XINFO", "GROUPS", stream])
        .step("xinfo|stream", &["XINFO", "STREAM", stream])
        .step("evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "0"])
        .step("eval", &["EVAL", "return 1", "-1"])
        .step("time", &["TIME"])
}
