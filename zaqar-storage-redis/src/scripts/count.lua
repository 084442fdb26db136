-- keys: head expiring leased transfers outbox_index retries exhausted
-- ARGV: now
-- Answers: living, claimed, transfers, entries, retries, given up. For the store's totals.
local state = call('HGET', head, 'state')
if not state or tonumber(state) > 1 then return {0, 0, 0, 0, 0, 0, 0} end
local letters = call('HLEN', transfers)
return {
  0, call('ZCOUNT', expiring, '(' .. ARGV[1], '+inf'),
  call('ZCOUNT', leased, '(' .. ARGV[1], '+inf') + letters, letters,
  call('ZCARD', outbox_index), call('HLEN', retries), call('HLEN', exhausted),
}
