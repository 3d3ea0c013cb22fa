-- Moves one entry to the dead letters and acknowledges it, unless another consumer has claimed it.
-- KEYS[1] stream, KEYS[2] dead letters; ARGV: group, consumer, entry id, longest length, then the
-- names and values of the dead letter
-- Returns {the dead letter's id, how many older ones were trimmed}, or false if the entry no longer belongs to the
-- caller.
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if not pending[1] then return false end
local add = {'XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*'}
for i = 5, #ARGV do add[#add + 1] = ARGV[i] end
local before = redis.call('XLEN', KEYS[2])
local id = redis.call(unpack(add))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return {id, before + 1 - redis.call('XLEN', KEYS[2])}
