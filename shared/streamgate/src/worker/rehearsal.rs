use crate::connection::{LAST_ID, Rehearsal};
use crate::stream::GroupSettings;

/// The commands that a worker of `group` needs, in forms without effect; with `delays`, also those for delayed retries.
pub(crate) fn rehearsal_of(group: &GroupSettings, delays: bool) -> Rehearsal {
    let GroupSettings { stream, group, consumer, claim_min_idle, .. } = group;
    let (delayed, dead_letters) = (format!("{}{group}", stream.delayed()), stream.dead_letters());
    let (stream, dead_letters) = (stream.as_str(), dead_letters.as_str());
    let min_idle = claim_min_idle.as_millis().to_string();
    let rehearsal = Rehearsal::default()
        .step("xreadgroup", &["XREADGROUP", "GROUP", group, consumer, "STREAMS", stream, "no id"])
        .step("xautoclaim", &["XAUTOCLAIM", stream, group, consumer, &min_idle, "no id"])
        .step("xclaim", &["XCLAIM", stream, group, consumer, "0", "no id"])
        .step("xpending", &["XPENDING", stream, group, LAST_ID, LAST_ID, "1"])
        .step("xrange", &["XRANGE", stream, LAST_ID, LAST_ID])
        .step("xack", &["XACK", stream, group, "0-0"])
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
        .step("time", &["TIME"]);
    if !delays {
        return rehearsal;
    }
    rehearsal
        .step("zadd", &["ZADD", &delayed, "no score", ""])
        .step("zrem", &["ZREM", &delayed, ""])
        .step("zrange", &["ZRANGE", &delayed, "0", "0"])
        .step("zrangebyscore", &["ZRANGEBYSCORE", &delayed, "0", "0"])
}
