-- Removes dead letters and tells which of them existed.
-- KEYS[1] dead letters; ARGV: ids
-- Returns 1 or 0 for each id.
local removed = {}
for i, id in ipairs(ARGV) do removed[i] = redis.call('XDEL', KEYS[1], id) end
return removed
