-- keys: head messages states claimable expiring arrivals arrival_order origins sweep_due fence
-- lib: head leap state sooner
-- ARGV: queue, now, incarnation, last position, the message's id, record, count of claims, where it
--   comes from
-- Answers: its position, whether it is new. What arrived is remembered while the incarnation lives.
local h, refusal = find_head()
if not h then return refusal end
local known = call('HGET', arrivals, ARGV[5])
if known then return {0, known, 0} end
if h.moved then return {2, h.epoch} end
local place, run = next_position(h)
if place + 1 > tonumber(ARGV[4]) then return {4} end
local seq = string.format('%.0f', place)
local expires, _, _, ttl = struct.unpack('>dddd', ARGV[6])
call('HSET', messages, seq, ARGV[6])
call('HSET', states, seq, pack_state(expires, ttl, 0, tonumber(ARGV[7]), 0, NOBODY))
call('ZADD', expiring, expires, seq)
call('ZADD', claimable, seq, seq)
call('HSET', arrivals, ARGV[5], seq)
call('ZADD', arrival_order, seq, ARGV[5])
call('HSET', origins, ARGV[5], ARGV[8])
call('HSET', head, 'next', place + 1, 'run', run)
sweep_at(h, expires, ARGV[3])
return {0, seq, 1}
