-- Removes entries that no group has been given yet. Looking and deleting are one step: a worker that
-- comes between the two would have begun the work.
-- KEYS[1] stream; ARGV: ids
-- Returns 1 or 0 for each id: 1 if the entry was there, was nobody's yet and is gone now.
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

local delivered = '0-0'
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  if less(delivered, group['last-delivered-id']) then delivered = group['last-delivered-id'] end
end
local taken = {}
for i, id in ipairs(ARGV) do
  taken[i] = less(delivered, id) and redis.call('XDEL', KEYS[1], id) or 0
end
return taken
