-- Corrects how often an entry counts as delivered, which also renews it. Touches nothing that
-- another has claimed meanwhile.
-- KEYS[1] stream; ARGV: group, consumer, difference, ids...
-- Returns how many were corrected.
local group, consumer, corrected = ARGV[1], ARGV[2], 0
for i = 4, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, consumer)
  if pending[1] then
    local count = math.max(pending[1][4] + tonumber(ARGV[3]), 0)
    redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'RETRYCOUNT', count, 'JUSTID')
    corrected = corrected + 1
  end
end
return corrected
