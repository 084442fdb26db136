-- keys: pools pool_names pool_uris pool_flavors
-- lib: pool
-- ARGV: name, or '' for all
-- Answers 3 and the flavor's tag: it is the last of its flavor.
local name = ARGV[1]
if name == '' then
  call('UNLINK', pools, pool_names, pool_uris, pool_flavors)
  return {0}
end
local pool = load(name)
if not pool then return {0} end
local tag = pool[TAG]
if tag ~= 'n' then
  local peers = call('ZRANGEBYLEX', pool_flavors, '[' .. tag .. ' ', '(' .. tag .. '!', 'LIMIT', 0, 2)
  if #peers < 2 then return {3, tag} end
end
call('HDEL', pools, name)
call('ZREM', pool_names, name)
call('HDEL', pool_uris, pool[URI])
call('ZREM', pool_flavors, tag .. ' ' .. name)
return {0}
