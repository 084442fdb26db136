-- keys: queue_records queue_names
-- ARGV: name to start after or '', limit
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local names = call('ZRANGEBYLEX', queue_names, from, '+', 'LIMIT', 0, ARGV[2])
local answer = {0}
if #names == 0 then return answer end
local records = call('HMGET', queue_records, unpack(names))
for i = 1, #names do
  answer[#answer + 1] = names[i]
  answer[#answer + 1] = records[i]
end
return answer
