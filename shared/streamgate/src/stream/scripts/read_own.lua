-- Reads a consumer's own pending entries, oldest first.
-- KEYS[1] stream; ARGV: group, consumer, first id, count, 'redeliver' or 'recover', deliveries that
-- make a suspect, idle (ms) of what is given back, length of a lease (ms)
-- 'redeliver' counts a delivery (this process may be the one that died of it); 'recover' does not
-- (a read that this same process abandoned). Of several suspects 'redeliver' takes the first and
-- gives back the others: a second one would be counted as delivered to a worker that the first may
-- kill. 'redeliver' leaves alone what was delivered within a lease: a process of the same name may
-- have it in hand, and a dead one's is claimed later. What was given back is left to whoever claims it. Entries deleted meanwhile leave the list.
-- Returns {last id seen or false, {{id, deliveries, fields}, ...}, {deleted ids}, suspects left}
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
    -- Not to be touched, nor counted.
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
