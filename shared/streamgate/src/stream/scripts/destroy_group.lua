-- Deletes a group with its pending entries and its delayed ones. In two steps, a worker could delay an entry between
-- them, and a later group of this name would get it.
-- KEYS[1] stream, KEYS[2] and KEYS[3] delayed entries of the group; ARGV: group
-- Returns 1, or 0 if there was no such group.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local destroyed = redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3])
return destroyed
