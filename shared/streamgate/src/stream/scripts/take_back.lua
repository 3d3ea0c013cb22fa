-- Removes entries that no group has delivered yet. The check and the deletion are one step: between the two, a worker
-- could begin the work.
-- KEYS[1] stream; ARGV: ids
-- Returns 1 or 0 for each id: 1 if the entry existed, was not delivered and is now deleted.
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

local delivered, groups = '0-0', {}
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  groups[#groups + 1] = group
  if less(delivered, group['last-delivered-id']) then delivered = group['last-delivered-id'] end
end
-- XGROUP SETID may have moved a group back, so a later entry may be pending too. If no group is left, a deleted group
-- may have delivered the entry.
local function may_be_delivered(id)
  for _, group in ipairs(groups) do
    if group.pending > 0 and redis.call('XPENDING', KEYS[1], group.name, id, id, 1)[1] then return true end
  end
  return #groups == 0
end

local taken = {}
for i, id in ipairs(ARGV) do
  taken[i] = less(delivered, id) and not may_be_delivered(id) and redis.call('XDEL', KEYS[1], id) or 0
end
return taken
