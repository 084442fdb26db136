-- keys: deleting
-- ARGV: limit
local answer = {0}
for _, name in ipairs(call('ZRANGE', deleting, 0, ARGV[1] - 1)) do answer[#answer + 1] = name end
return answer
