-- keys: head origins
-- lib: head
-- ARGV: queue, then the ids
-- Answers of each where it came from, or ''.
local h, refusal = find_head()
if not h then return refusal end
local answer = {0}
if #ARGV > 1 then
  local found = call('HMGET', origins, unpack(ARGV, 2))
  for i = 1, #ARGV - 1 do answer[i + 1] = found[i] or '' end
end
return answer
