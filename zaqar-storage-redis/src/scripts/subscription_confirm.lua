-- keys: head subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next graves gc_due outbox_due
-- lib: head chunks trim subscription subscribing
-- ARGV: queue, now, incarnation, number, 1 if confirmed
-- Answers 6: none that lives.
local h, refusal = find_head_for_news()
if not h then return refusal end
local now, incarnation, number = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local s = load(number)
if not s or s[ENDS] <= now then return {6} end
local before = is_active(s)
s[CONFIRMED] = ARGV[5] == '1'
if is_active(s) ~= before then restart(number, s, h.next, incarnation) end
save(number, s)
settle_head(incarnation, now)
return {0}
