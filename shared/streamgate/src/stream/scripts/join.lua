-- Makes a worker a consumer of its group with a name that no live consumer has. The check and the join
-- are one step: if two workers start at the same time, the second one sees the first.
-- KEYS[1] stream; ARGV: group, wanted name, spare name (if a live consumer has the wanted one), idle time (ms)
-- from which a consumer counts as dead, an id behind every possible one
-- A read of own entries from that id creates the consumer and resets its idle time, without a delivery.
-- Returns the name taken.
local name = ARGV[2]
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  if consumer.name == name and consumer.idle < tonumber(ARGV[4]) then
    name = ARGV[3]
    break
  end
end
redis.call('XREADGROUP', 'GROUP', ARGV[1], name, 'COUNT', 1, 'STREAMS', KEYS[1], ARGV[5])
return name
