-- Delays the next delivery of entries: acknowledges each one and keeps its id and its number of deliveries until it is
-- due. Leaves out entries that no longer belong to the caller.
-- KEYS[1] stream, KEYS[2] delayed entries by the time they are due, KEYS[3] the same by the time in their ids;
-- ARGV: group, consumer, then for each entry its id and the delay (ms)
-- Returns 1 or 0 for each entry: 1 if it was delayed.
local time = redis.call('TIME')
local now, delayed = time[1] * 1000 + math.floor(time[2] / 1000), {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if pending[1] then
    local member = id .. ' ' .. pending[1][4]
    -- XACK comes last: if Redis refuses a ZADD (OOM), the entry stays pending.
    redis.call('ZADD', KEYS[2], string.format('%.0f', now + tonumber(ARGV[i + 1])), member)
    redis.call('ZADD', KEYS[3], string.match(id, '^%d+'), member)
    redis.call('XACK', KEYS[1], ARGV[1], id)
  end
  delayed[#delayed + 1] = pending[1] and 1 or 0
end
return delayed
