-- Deletes a consumer that holds no entries. XGROUP DELCONSUMER also deletes the consumer's pending entries, so
-- the check and the deletion must be one step.
-- KEYS[1] stream; ARGV: group, consumer
-- Returns 1 if the consumer was deleted, 0 if it still holds an entry.
if redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])[1] then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
