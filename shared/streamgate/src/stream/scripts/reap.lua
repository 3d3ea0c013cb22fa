-- Deletes consumers that were silent for long and hold no entries. XGROUP DELCONSUMER also deletes the
-- consumer's pending entries, so the check and the deletion must be one step.
-- KEYS[1] stream; ARGV: group, idle time (ms)
-- Returns the names of the deleted consumers.
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
