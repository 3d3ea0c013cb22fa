-- Delivers entries whose delay has ended, with their own ids, to one consumer. No other group sees them.
-- KEYS[1] stream, KEYS[2] delayed entries by the time they are due, KEYS[3] the same by the time in their ids;
-- ARGV: group, consumer, count
-- An entry that is pending again (the group was created again, and has read it) is left to its consumer.
-- Returns {milliseconds until the next entry is due or false, {{id, deliveries, fields}, ...}, {deleted ids}, 0}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries, deleted = {}, {}
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
  local id, deliveries = string.match(member, '^(%S+) (%d+)$')
  if not redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1] then
    local found = redis.call('XRANGE', KEYS[1], id, id)
    if found[1] then
      local next_delivery = tonumber(deliveries) + 1
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', next_delivery, 'FORCE', 'JUSTID')
      entries[#entries + 1] = {id, next_delivery, found[1][2]}
    else
      deleted[#deleted + 1] = id
    end
  end
  redis.call('ZREM', KEYS[2], member)
  redis.call('ZREM', KEYS[3], member)
end
local next_due, wait = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES'), false
if next_due[2] then wait = math.max(tonumber(next_due[2]) - now, 0) end
return {wait, entries, deleted, 0}
