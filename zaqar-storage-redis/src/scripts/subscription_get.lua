-- keys: head subscriptions subscribers
-- lib: head subscription
-- ARGV: queue, now, number or '', subscriber
-- Answers the subscription; 6: there is none that lives.
local h, refusal = find_head()
if not h then return refusal end
local number = ARGV[3]
if number == '' then number = call('HGET', subscribers, ARGV[4]) end
local s = number and load(number)
if not s or s[ENDS] <= tonumber(ARGV[2]) then return {6} end
local answer = {0}
show(answer, number, s)
return answer
