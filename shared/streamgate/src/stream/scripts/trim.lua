-- Removes finished entries from the old end of a stream. Finding the frontier (the oldest entry that some
-- group has not read or not acknowledged, or that waits for its next delivery) and trimming are one step: in two steps,
-- an entry could become unfinished between them and be lost.
-- KEYS[1] stream; ARGV: an id below which entries are too old; the largest number of entries wanted; the start of the
-- name of the key that has a group's delayed entries by the time in their ids, or '' if no group delays entries
-- Returns {entries removed, frontier or false, number of entries above the wanted number}; without a group
-- nothing is removed.
local function less(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  -- Lua numbers hold integers exactly up to 2^53 only: compare digits.
  local function digits_less(x, y)
    if #x ~= #y then return #x < #y end
    return x < y
  end
  if a_ms ~= b_ms then return digits_less(a_ms, b_ms) end
  return digits_less(a_seq, b_seq)
end

local frontier = false
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  -- The group has read every entry up to this id. The last one stays although it may be finished: that costs one
  -- entry and needs no arithmetic on ids. XGROUP SETID may have moved the id, so pending entries are checked too.
  local oldest = group['last-delivered-id']
  if group.pending > 0 then
    local pending = redis.call('XPENDING', KEYS[1], group.name)[2]
    if less(pending, oldest) then oldest = pending end
  end
  if ARGV[3] ~= '' then
    local delayed = redis.call('ZRANGE', ARGV[3] .. group.name, 0, 0, 'WITHSCORES')[2]
    local first = delayed and delayed .. '-0'
    if first and less(first, oldest) then oldest = first end
  end
  if not frontier or less(oldest, frontier) then frontier = oldest end
end
if not frontier then return {0, false, 0} end
local cut = ARGV[1]
if less(frontier, cut) then cut = frontier end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', cut)
-- Counted here, because another process may have trimmed since the caller asked.
local excess = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[2])
if excess > 0 then
  -- Removes whole nodes only, and never more than `excess` entries.
  local cut_off = redis.call('XTRIM', KEYS[1], 'MINID', '~', frontier, 'LIMIT', excess)
  removed, excess = removed + cut_off, excess - cut_off
end
return {removed, frontier, math.max(excess, 0)}
