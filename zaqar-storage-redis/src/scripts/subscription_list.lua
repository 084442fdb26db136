-- keys: head subscriptions subscription_order
-- lib: head subscription
-- ARGV: queue, now, number to start after, limit
-- Answers: where to go on ('' at the end), then the subscriptions.
local h, refusal = find_head()
if not h then return refusal end
local now, after, limit = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local answer, found = {0, ''}, 0
for _ = 1, 10 do
  local numbers = call('ZRANGEBYSCORE', subscription_order, '(' .. after, '+inf', 'LIMIT', 0, 100)
  for i = 1, #numbers do
    if found == limit then break end
    after = numbers[i]
    local s = load(after)
    if s and s[ENDS] > now then
      found = found + 1
      show(answer, after, s)
    end
  end
  if #numbers < 100 or found == limit then return answer end
end
answer[2] = after
return answer
