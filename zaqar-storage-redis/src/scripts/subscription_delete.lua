-- keys: head subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next graves gc_due outbox_due
-- lib: head chunks trim subscription subscribing
-- ARGV: queue, now, incarnation, number; '' removes all
local h, refusal = find_head_for_news()
if not h then return refusal end
local now, incarnation, number = tonumber(ARGV[2]), ARGV[3], ARGV[4]
if number == '' then
  call('UNLINK', subscriptions, subscribers, subscription_order, subscription_ends, cursors, retries,
    retries_due, retry_positions, retries_next, graves)
else
  local s = load(number)
  if s then forget(number, s, incarnation) end
end
settle_head(incarnation, now)
-- More than a step of entries may be of no use to anybody now.
if call('ZCARD', outbox_index) > 0 then call('ZADD', gc_due, 0, incarnation) end
return {0}
