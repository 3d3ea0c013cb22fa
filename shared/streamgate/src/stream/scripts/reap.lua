-- Deletes consumers that have been silent for long and hold nothing. XGROUP DELCONSUMER drops a
-- consumer's pending entries, so looking and deleting must be one step.
-- KEYS[1] stream; ARGV: group, idle (ms)
-- Returns the names deleted.
local reaped = {}
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    reaped[#reaped + 1] = consumer.name
  end
end
return reaped
