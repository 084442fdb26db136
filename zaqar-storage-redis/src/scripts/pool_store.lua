-- keys: pools pool_names pool_uris pool_flavors
-- lib: pool
-- ARGV: name, 1 if it must be there, weight, uri, tag of its flavor, options, capabilities; what is ''
--   stays as it is
-- Answers 6: it is not there; 3: another has its URI; 4: its flavor's pools have other capabilities.
local name = ARGV[1]
local before = load(name)
if ARGV[2] == '1' and not before then return {6} end
local pool = {}
for i = 1, 5 do
  pool[i] = ARGV[2 + i]
  if pool[i] == '' and before then pool[i] = before[i] end
end
local holder = call('HGET', pool_uris, pool[URI])
if holder and holder ~= name then return {3} end
local from, to = '[' .. pool[TAG] .. ' ', '(' .. pool[TAG] .. '!'
for _, member in ipairs(call('ZRANGEBYLEX', pool_flavors, from, to, 'LIMIT', 0, 2)) do
  local peer = string.sub(member, #pool[TAG] + 2)
  if peer ~= name then
    if load(peer)[CAPABILITIES] ~= pool[CAPABILITIES] then return {4} end
    break
  end
end
if before then
  call('HDEL', pool_uris, before[URI])
  call('ZREM', pool_flavors, before[TAG] .. ' ' .. name)
end
call('HSET', pools, name, cmsgpack.pack(pool))
call('ZADD', pool_names, 0, name)
call('HSET', pool_uris, pool[URI], name)
call('ZADD', pool_flavors, 0, pool[TAG] .. ' ' .. name)
return {0}
