-- keys: head expiring transfers cursors subscription_ends outbox outbox_index retries retry_positions open sweep_due gc_due outbox_due transfers_due
-- lib: head chunks trim moving
-- ARGV: queue, now, incarnation
-- Answers: 1 if it is left, 0 if something waits still. The head remembers the move: the queue may come
-- back by a later one.
local h, refusal = find_source()
if not h then return refusal end
local now, incarnation = tonumber(ARGV[2]), ARGV[3]
trim(incarnation, now)
local waits = h.from < h.to or call('ZCOUNT', expiring, '(' .. ARGV[2], '+inf') > 0
  or call('HLEN', transfers) > 0 or call('ZCARD', outbox_index) > 0 or call('HLEN', retries) > 0
if waits then return {0, 0} end
call('ZREM', open, incarnation)
call('ZREM', sweep_due, incarnation)
call('ZREM', outbox_due, incarnation)
call('ZREM', transfers_due, incarnation)
call('HSET', head, 'state', 2, 'left', h.epoch)
call('ZADD', gc_due, 0, incarnation)
return {0, 1}
