-- keys: head messages states claimable hidden leased claims claim_ends
-- lib: head state chunks held
-- ARGV: queue, now, claim, the name of the call whose caller left or ''
-- Only what the claim holds at this moment is released: another may have the rest by now.
local h, refusal = find_head()
if not h then return refusal end
local known = call('HGET', claims, ARGV[3])
if not known then return {0} end
if ARGV[4] ~= '' and ARGV[4] ~= string.sub(known, 25, 40) then return {0} end
local ids, _, of = held_by(ARGV[3], known, tonumber(ARGV[2]))
local rows, free = {}, {}
for i = 1, #ids do
  if on_its_way(h, ids[i]) then return {10} end
  local s = of[i]
  rows[2 * i - 1] = ids[i]
  rows[2 * i] = pack_state(s.expires, s.ttl, 0, s.count, 0, s.claim)
  free[2 * i - 1], free[2 * i] = ids[i], ids[i]
end
call('ZREM', claim_ends, ARGV[3])
call('HDEL', claims, ARGV[3])
call_all('ZREM', leased, ids)
call_all('ZREM', hidden, ids)
call_all('ZADD', claimable, free)
call_all('HSET', states, rows)
return {0}
