-- Claims named entries that their consumers have let idle, and tells which of them had been deleted from the stream.
-- KEYS[1] stream; ARGV: group, consumer, min idle (ms), then ids
-- Returns {{entry, ...}, {ids of deleted entries, ...}}; other entries were not pending or not idle for long enough.
local claimed, lost = {}, {}
for i = 4, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if pending[1] and pending[1][3] >= tonumber(ARGV[3]) then
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[i])[1]
    if entry then claimed[#claimed + 1] = entry else lost[#lost + 1] = ARGV[i] end
  end
end
return {claimed, lost}
