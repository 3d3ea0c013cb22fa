-- Renews the leases that a consumer still owns; leaves out entries that another consumer has claimed.
-- KEYS[1] stream; ARGV: group, consumer, ids...
-- Returns {{ids of the caller's entries}, {ids of entries that another consumer has}}. An id in neither list is not
-- pending: its entry was acknowledged, or the group was created again.
local group, consumer, owned, taken = ARGV[1], ARGV[2], {}, {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1)
  if pending[1] and pending[1][2] == consumer then
    redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'JUSTID')
    owned[#owned + 1] = ARGV[i]
  elseif pending[1] then
    taken[#taken + 1] = ARGV[i]
  end
end
return {owned, taken}
