-- Renews the leases a consumer still owns; touches nothing that another has claimed.
-- KEYS[1] stream; ARGV: group, consumer, ids...
-- Returns {{ids that are the caller's}, {ids that are another's}}. An id in neither is pending with
-- nobody: it was acknowledged meanwhile, or the group was made anew.
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
