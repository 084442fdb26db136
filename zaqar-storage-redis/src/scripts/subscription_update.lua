-- keys: head subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next graves gc_due outbox_due
-- lib: head chunks trim subscription subscribing
-- ARGV: queue, now, incarnation, number, new subscriber or '', new ttl or '', new end,
--   new options or '', 1 or 0 if another subscriber needs confirmation or not, or ''
-- Answers 6: none that lives; 9: another has that subscriber.
local h, refusal = find_head_for_news()
if not h then return refusal end
local now, incarnation, number = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local s = load(number)
if not s or s[ENDS] <= now then return {6} end
local moves = ARGV[5] ~= '' and ARGV[5] ~= s[SUBSCRIBER]
local other, holder
if moves then
  other = call('HGET', subscribers, ARGV[5])
  holder = other and load(other)
  if holder and holder[ENDS] > now then return {9} end
end
if moves then
  if holder then forget(other, holder, incarnation) end
  call('HDEL', subscribers, s[SUBSCRIBER])
  call('HSET', subscribers, ARGV[5], number)
  -- Another address must confirm anew and gets nothing that was posted before.
  s[SUBSCRIBER], s[CONFIRMED] = ARGV[5], false
  if ARGV[9] ~= '' then s[NEEDS] = ARGV[9] == '1' end
  restart(number, s, h.next, incarnation)
end
if ARGV[6] ~= '' then
  s[TTL], s[ENDS] = tonumber(ARGV[6]), tonumber(ARGV[7])
end
if ARGV[8] ~= '' then s[OPTIONS] = ARGV[8] end
save(number, s)
settle_head(incarnation, now)
return {0}
