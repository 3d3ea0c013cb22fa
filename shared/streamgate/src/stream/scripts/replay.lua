-- Puts the original fields of a dead letter back on its stream and removes the letter.
-- KEYS[1] stream, KEYS[2] dead letters; ARGV: dead letter's id, largest number of fields, name of the field
-- that names the letter, name of the field that counts the fields left out, number of a letter's own
-- fields and their names, then names and values that replace original values
-- Returns {'replayed', id of the new entry}, {'left out', number of fields}, {'too many', number of fields},
-- {'empty'}, or false if there is no such letter.
local found = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
if not found then return false end
local fields, replay_of, left_out = found[2], ARGV[3], ARGV[4]

-- The letter's own fields come first, each once; an original field may have the same name.
local own, last_own = {}, 5 + tonumber(ARGV[5])
for i = 6, last_own do own[ARGV[i]] = true end
local first = 1
while fields[first] and (own[fields[first]] or fields[first] == left_out) do
  if fields[first] == left_out then return {'left out', tonumber(fields[first + 1]) or 1} end
  own[fields[first]] = nil
  first = first + 2
end

local count = (#fields - first + 1) / 2
if count == 0 then return {'empty'} end
if count > tonumber(ARGV[2]) then return {'too many', count} end
local replaced = {[replay_of] = ARGV[1]}
for i = last_own + 1, #ARGV, 2 do replaced[ARGV[i]] = ARGV[i + 1] end
local add, traced = {'XADD', KEYS[1], '*'}, false
for i = first, #fields, 2 do
  traced = traced or fields[i] == replay_of
  add[#add + 1] = fields[i]
  add[#add + 1] = replaced[fields[i]] or fields[i + 1]
end
if not traced then
  add[#add + 1] = replay_of
  add[#add + 1] = ARGV[1]
end
-- XADD comes first: if Redis refuses it (OOM), the letter stays.
local id = redis.call(unpack(add))
redis.call('XDEL', KEYS[2], ARGV[1])
return {'replayed', id}
