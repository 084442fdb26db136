-- keys: head open fence subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next graves gc_due outbox_due
-- lib: head chunks trim subscription subscribing
-- ARGV: queue, now, incarnation, first position, highest number of a subscription, then for each:
--   number, subscriber, ttl, made, end, options, 1 if confirmed, 1 if it needs confirmation, since,
--   1 if it has an owner, the owner
-- Answers: 1 if it is open, 0 if what it left here is not collected yet.
local known, key = caller()
local f = call('HMGET', head, 'key', 'state', 'epoch', 'left')
if f[2] then
  if f[1] ~= key then return {1} end
  if tonumber(f[2]) < 2 then
    if f[2] == '0' and tonumber(f[3]) == known then return {0, 1} end
    return {2, f[3]}
  end
  -- Closed for good, or left by a move and free to come back by a later one.
  if not f[4] then return {1} end
  if tonumber(f[4]) >= known then return {2, f[4]} end
  if f[2] == '2' then return {0, 0} end
end
local now, incarnation, start = tonumber(ARGV[2]), ARGV[3], ARGV[4]
call('HSET', head, 'key', key, 'state', 0, 'epoch', string.format('%.0f', known), 'next', start,
  'sub', 0, 'sub_next', ARGV[5], 'from', start, 'to', start, 'run', call('GET', fence) or '')
call('HDEL', head, 'left')
call('ZADD', open, incarnation, incarnation)
for i = 6, #ARGV, 11 do
  local number = ARGV[i]
  save(number, {
    ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), ARGV[i + 5],
    ARGV[i + 6] == '1', ARGV[i + 7] == '1', tonumber(ARGV[i + 8]), tonumber(start),
    ARGV[i + 9] == '1' and ARGV[i + 10], '', 0, tonumber(number),
  })
  call('HSET', subscribers, ARGV[i + 1], number)
end
settle_head(incarnation, now)
return {0, 1}
