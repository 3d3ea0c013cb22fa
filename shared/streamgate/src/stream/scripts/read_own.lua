-- Reads a consumer's own pending entries, oldest first.
-- KEYS[1] stream; ARGV: group, consumer, first id, count, 'redeliver' or 'recover'
-- 'redeliver' counts a delivery (this process may be the one that died of it); 'recover' does not
-- (a read that this same process abandoned). Entries deleted meanwhile leave the list.
-- Returns {last id seen or false, {{id, deliveries, fields}, ...}, {deleted ids}}
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], '+', ARGV[4], ARGV[2])
local entries, deleted, last = {}, {}, false
for _, item in ipairs(pending) do
  local id, deliveries = item[1], item[4]
  last = id
  local found = redis.call('XRANGE', KEYS[1], id, id)
  if not found[1] then
    redis.call('XACK', KEYS[1], ARGV[1], id)
    deleted[#deleted + 1] = id
  else
    if ARGV[5] == 'redeliver' then
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', deliveries + 1, 'JUSTID')
      deliveries = deliveries + 1
    else
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
    end
    entries[#entries + 1] = {id, deliveries, found[1][2]}
  end
end
return {last, entries, deleted}
