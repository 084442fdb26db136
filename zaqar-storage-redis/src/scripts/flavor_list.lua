-- keys: flavors flavor_names
-- ARGV: first and last of the range, limit
local answer = {0}
for _, member in ipairs(call('ZRANGEBYLEX', flavor_names, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  answer[#answer + 1] = member
  answer[#answer + 1] = call('HGET', flavors, member)
end
return answer
