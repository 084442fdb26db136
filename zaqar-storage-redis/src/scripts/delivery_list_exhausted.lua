-- keys: head exhausted
-- lib: head
-- ARGV: queue, number to start after, limit
-- Numbers are dense: a record is kept as long as its queue.
local h, refusal = find_head()
if not h then return refusal end
local answer, number = {0}, tonumber(ARGV[2])
for _ = 1, tonumber(ARGV[3]) do
  number = number + 1
  local packed = call('HGET', exhausted, number)
  if not packed then break end
  answer[#answer + 1] = number
  for _, field in ipairs(cmsgpack.unpack(packed)) do answer[#answer + 1] = field end
end
return answer
