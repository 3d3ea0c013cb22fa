-- Reads a consumer's own pending entries, oldest first.
-- KEYS[1] stream; ARGV: group, consumer, first id, count, 'redeliver' or 'recover', deliveries that
-- make a suspect, idle time (ms) of entries that are given back, length of a lease (ms)
--
-- 'redeliver', at the start of a process, counts a delivery: the process before it may have died of the entry.
-- 'recover', after a read that this process abandoned, does not count one.
-- Of several suspects, 'redeliver' takes the first and gives back the others: the first may kill the worker, and that
-- must not count against the others.
-- 'redeliver' leaves out entries that were delivered within the last lease: another process with the same name may
-- be working on them. If no process is, they are claimed later.
-- Entries that were given back are left for a claim. Entries deleted meanwhile are acknowledged.
--
-- Returns {last id seen or false, {{id, deliveries, fields}, ...}, {deleted ids}, number of entries left for a claim}
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], '+', ARGV[4], ARGV[2])
local entries, deleted, last, suspects, left = {}, {}, false, 0, 0
local redeliver, suspects_from, given_back = ARGV[5] == 'redeliver', tonumber(ARGV[6]), tonumber(ARGV[7])
local lease = tonumber(ARGV[8])
for _, item in ipairs(pending) do
  local id, idle, deliveries = item[1], item[3], item[4]
  last = id
  local in_hand = redeliver and idle < lease
  local found = in_hand or redis.call('XRANGE', KEYS[1], id, id)
  if redeliver then deliveries = deliveries + 1 end
  local suspect = redeliver and deliveries >= suspects_from
  if in_hand then
    -- Neither claimed nor counted.
  elseif not found[1] then
    redis.call('XACK', KEYS[1], ARGV[1], id)
    deleted[#deleted + 1] = id
  elseif idle >= given_back or (suspect and suspects > 0) then
    local before = item[4]
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'IDLE', ARGV[7], 'RETRYCOUNT', before, 'JUSTID')
    left = left + 1
  else
    if suspect then suspects = suspects + 1 end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
    entries[#entries + 1] = {id, deliveries, found[1][2]}
  end
end
return {last, entries, deleted, left}
