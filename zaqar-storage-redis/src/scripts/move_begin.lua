-- keys: head subscriptions subscription_order
-- lib: head moving subscription
-- ARGV: queue, now, how many subscriptions to show at most
-- Answers: the next position, then the living subscriptions.
local h, refusal = find_source()
if not h then return refusal end
local now, after, left = tonumber(ARGV[2]), '-inf', tonumber(ARGV[3])
local answer = {0, text_of(h.next)}
while left > 0 do
  local numbers = call('ZRANGEBYSCORE', subscription_order, after, '+inf', 'LIMIT', 0, 100)
  for i = 1, #numbers do
    local s = load(numbers[i])
    if s and s[ENDS] > now and left > 0 then
      left = left - 1
      show(answer, numbers[i], s)
    end
  end
  if #numbers < 100 then break end
  after = '(' .. numbers[100]
end
return answer
