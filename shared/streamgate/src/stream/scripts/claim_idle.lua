-- Takes over entries that their consumer has let idle for longer than a lease.
-- KEYS[1] stream; ARGV: group, consumer, min idle (ms), cursor, count, deliveries that make a suspect,
-- the suspect that the caller holds (or ''), idle time (ms) of entries that are given back
--
-- A consumer holds one suspect at a time. A further one is given back and this delivery is not counted: the first
-- suspect may kill the worker, and that must not count against the second.
--
-- Returns {next cursor, {{id, deliveries, fields}, ...}, {deleted ids}, number of suspects given back}
local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local entries, suspects_from, held, left = {}, tonumber(ARGV[6]), ARGV[7], 0
for _, entry in ipairs(claimed[2]) do
  local id = entry[1]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)
  local deliveries = pending[1] and pending[1][4] or 1
  if deliveries < suspects_from or held == '' or held == id then
    if deliveries >= suspects_from then held = id end
    entries[#entries + 1] = {id, deliveries, entry[2]}
  else
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'IDLE', ARGV[8], 'RETRYCOUNT', deliveries - 1, 'JUSTID')
    left = left + 1
  end
end
return {claimed[1], entries, claimed[3] or {}, left}
