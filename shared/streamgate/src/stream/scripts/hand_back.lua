-- Gives entries back without work: any consumer may claim them at once, and this delivery is not
-- counted. Leaves out entries that another consumer has claimed meanwhile.
-- KEYS[1] stream; ARGV: group, consumer, idle (ms), ids...
-- Returns how many were given back.
local group, consumer, handed = ARGV[1], ARGV[2], 0
for i = 4, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, consumer)
  if pending[1] then
    local before = math.max(pending[1][4] - 1, 0)
    redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'IDLE', ARGV[3], 'RETRYCOUNT', before, 'JUSTID')
    handed = handed + 1
  end
end
return handed
