-- keys: head open sweep_due gc_due outbox_due transfers_due
-- lib: head
-- ARGV: queue, incarnation
local h = any_head()
if not h then
  -- No move brings back what was closed after it had left.
  local _, key = caller()
  if call('HGET', head, 'key') == key then call('HDEL', head, 'left') end
  return {0}
end
call('HSET', head, 'state', 2)
call('ZREM', open, ARGV[2])
call('ZREM', sweep_due, ARGV[2])
call('ZREM', outbox_due, ARGV[2])
call('ZREM', transfers_due, ARGV[2])
call('ZADD', gc_due, 0, ARGV[2])
return {0}
