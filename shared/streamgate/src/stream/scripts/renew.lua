-- Renews the leases a consumer still owns; touches nothing that another has claimed.
-- KEYS[1] stream; ARGV: group, consumer, ids...
-- Returns the ids that are still the caller's.
local group, consumer, owned = ARGV[1], ARGV[2], {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, consumer)
  if pending[1] then
    redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'JUSTID')
    owned[#owned + 1] = ARGV[i]
  end
end
return owned
