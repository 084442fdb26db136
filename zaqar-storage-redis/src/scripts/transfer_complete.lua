-- keys: head messages states hidden expiring arrivals transfers transfer_leases transfers_due
-- lib: head
-- ARGV: queue, incarnation, id, lease
-- Answers 6: another lease took the transfer over. No record: it was completed before, or purged.
local h, refusal = find_head()
if not h then return refusal end
-- The parked one, should another of that id be in this queue.
local seq = ARGV[3]
if string.sub(seq, 1, 1) == 'f' then
  seq = call('HGET', arrivals, string.sub(seq, 2))
elseif call('HEXISTS', transfers, seq) == 0 then
  seq = call('HGET', arrivals, string.format('%010x%014x', tonumber(ARGV[2]), tonumber(seq)))
end
local transfer = seq and call('HGET', transfers, seq)
if not transfer then return {0} end
if string.sub(transfer, 17, 32) ~= ARGV[4] then return {6} end
call('HDEL', transfers, seq)
call('ZREM', transfer_leases, string.format('%016.0f', tonumber(seq)))
call('ZREM', hidden, seq)
call('ZREM', expiring, seq)
call('HDEL', states, seq)
call('HDEL', messages, seq)
if call('ZCARD', transfer_leases) == 0 then call('ZREM', transfers_due, ARGV[2]) end
return {0}
