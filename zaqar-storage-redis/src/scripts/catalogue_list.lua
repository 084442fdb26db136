-- keys: catalogue catalogue_names catalogue_pools
-- ARGV: 'project' or 'pool', first and last of the range, limit, bytes of the pool's tag
local answer = {0}
local index = ARGV[1] == 'pool' and catalogue_pools or catalogue_names
for _, found in ipairs(call('ZRANGEBYLEX', index, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])) do
  local member = string.sub(found, tonumber(ARGV[5]) + 1)
  local entry = cmsgpack.unpack(call('HGET', catalogue, member))
  answer[#answer + 1] = member
  answer[#answer + 1] = entry[2]
  answer[#answer + 1] = entry[3]
end
return answer
