-- keys: head subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next graves gc_due outbox_due
-- lib: chunks trim subscription subscribing
-- ARGV: incarnation, now, latest end, rows to remove at most
-- Answers: rows.
if tonumber(call('HGET', head, 'state') or 3) > 1 then return {0, 0} end
local incarnation, now, rows = ARGV[1], tonumber(ARGV[2]), 0
local rows_max = math.min(tonumber(ARGV[4]), 100)
local over = call('ZRANGEBYSCORE', subscription_ends, '-inf', ARGV[3], 'LIMIT', 0, rows_max)
for i = 1, #over do
  local s = load(over[i])
  if s then forget(over[i], s, incarnation) else call('ZREM', subscription_ends, over[i]) end
end
rows = #over
if rows == 0 then
  local lane = call('SRANDMEMBER', graves)
  if lane then rows = drop_lane(nil, tonumber(lane), incarnation, rows_max) end
end
if #over > 0 then
  settle_head(incarnation, now)
elseif rows == 0 then
  rows = trim(incarnation, now, rows_max)
end
return {0, rows}
