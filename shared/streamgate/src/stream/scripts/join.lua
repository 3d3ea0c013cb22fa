-- Makes a worker a consumer of its group under a name that nobody else lives under. Looking and
-- joining are one step: of two workers that start together, the second one finds the first.
-- KEYS[1] stream; ARGV: group, name, a name for when that one lives, idle (ms) of one that is dead,
-- an id past the last possible one (a read of own entries from there only refreshes the idle time)
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
