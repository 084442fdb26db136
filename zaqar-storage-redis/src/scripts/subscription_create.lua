-- keys: head subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next graves gc_due outbox_due
-- lib: head chunks trim subscription subscribing
-- ARGV: queue, now, incarnation, subscriber, ttl, end, options, 1 if it needs confirmation,
--   1 if it has an owner, the owner
-- Answers: 1 if new, then the subscription.
local h, refusal = find_head_for_news()
if not h then return refusal end
local now, incarnation = tonumber(ARGV[2]), ARGV[3]
local number = call('HGET', subscribers, ARGV[4])
if number then
  local s = load(number)
  if s and s[ENDS] > now then
    local answer = {0, 0}
    show(answer, number, s)
    return answer
  end
  if s then forget(number, s, incarnation) end
end
number = fresh_number()
local s = {
  ARGV[4], tonumber(ARGV[5]), now, tonumber(ARGV[6]), ARGV[7], false, ARGV[8] == '1', h.next, h.next,
  ARGV[9] == '1' and ARGV[10], '', 0, number,
}
save(number, s)
call('HSET', subscribers, ARGV[4], number)
settle_head(incarnation, now)
local answer = {0, 1}
show(answer, number, s)
return answer
