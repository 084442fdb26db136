-- keys: head messages states retired claims claim_ends post_keys post_key_ends subscription_ends graves gc_due
-- lib: chunks
-- ARGV: incarnation, latest end, rows to remove at most
-- Answers: rows, state of the head. What ended no later than that is removed, a kind at a time.
local state = tonumber(call('HGET', head, 'state') or 3)
if state == 3 then call('ZREM', gc_due, ARGV[1]) end
if state > 1 then return {0, 0, state} end
local rows, rows_max = 0, tonumber(ARGV[3])

local function ended(index)
  if rows >= rows_max then return {} end
  local found = call('ZRANGEBYSCORE', index, '-inf', ARGV[2], 'LIMIT', 0, rows_max - rows)
  rows = rows + #found
  return found
end

local dead = ended(retired)
call_all('ZREM', retired, dead)
call_all('HDEL', messages, dead)
call_all('HDEL', states, dead)
local over = ended(claim_ends)
call_all('ZREM', claim_ends, over)
call_all('HDEL', claims, over)
local forgotten = ended(post_key_ends)
call_all('ZREM', post_key_ends, forgotten)
call_all('HDEL', post_keys, forgotten)

local due = math.huge
for _, index in ipairs({retired, claim_ends, post_key_ends, subscription_ends}) do
  due = math.min(due, tonumber(call('ZRANGE', index, 0, 0, 'WITHSCORES')[2] or 'inf'))
end
if call('SCARD', graves) > 0 then due = 0 end
if due == math.huge then
  call('ZREM', gc_due, ARGV[1])
else
  call('ZADD', gc_due, due, ARGV[1])
end
return {0, rows, state}
