-- Takes over entries that their consumer has let idle for longer than a lease.
-- KEYS[1] stream; ARGV: group, consumer, min idle (ms), cursor, count
-- Returns {next cursor, {{id, deliveries, fields}, ...}, {deleted ids}}
local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local entries = {}
for i, entry in ipairs(claimed[2]) do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
  entries[i] = {entry[1], pending[1] and pending[1][4] or 1, entry[2]}
end
return {claimed[1], entries, claimed[3] or {}}
