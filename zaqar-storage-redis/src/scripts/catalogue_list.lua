-- keys: catalogue catalogue_pools catalogue_moving
-- ARGV: 'one' and a member; or 'pool' or 'moving', first and last of the range, limit, bytes of the
-- pool's tag
local found = {ARGV[2]}
if ARGV[1] ~= 'one' then
  local index = ARGV[1] == 'pool' and catalogue_pools or catalogue_moving
  found = call('ZRANGEBYLEX', index, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
end
local answer = {0}
for _, tagged in ipairs(found) do
  local member = string.sub(tagged, tonumber(ARGV[5]) + 1)
  local packed = call('HGET', catalogue, member)
  if packed then
    local entry = cmsgpack.unpack(packed)
    for _, part in ipairs({member, entry[2], entry[3], entry[4], entry[5]}) do
      answer[#answer + 1] = part
    end
  end
end
return answer
