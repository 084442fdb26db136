-- keys: head messages states leased expiring claims claim_ends sweep_due gc_due
-- lib: head state chunks sooner held
-- ARGV: queue, now, incarnation, claim, end, ttl, end with grace, ttl with grace
-- Answers 6: no such claim. Only what the claim holds at this moment is renewed.
local h, refusal = find_head()
if not h then return refusal end
local now, incarnation, id = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local known = call('HGET', claims, id)
if not known then return {6} end
local ids, _, of = held_by(id, known, now)
if #ids == 0 then return {6} end
local ends = tonumber(ARGV[5])
local rows, ending, raised = {}, {}, {}
for i = 1, #ids do
  if on_its_way(h, ids[i]) then return {10} end
  local s = of[i]
  if s.expires < ends then
    s.expires, s.ttl = tonumber(ARGV[7]), tonumber(ARGV[8])
    raised[#raised + 1] = ARGV[7]
    raised[#raised + 1] = ids[i]
  end
  rows[2 * i - 1] = ids[i]
  rows[2 * i] = pack_state(s.expires, s.ttl, ends, s.count, 1, id)
  ending[2 * i - 1], ending[2 * i] = ends, ids[i]
end
call_all('ZADD', leased, ending)
call_all('ZADD', expiring, raised)
call_all('HSET', states, rows)
local list = string.sub(known, 25)
call('HSET', claims, id, struct.pack('>ddd', tonumber(ARGV[6]), now, ends) .. list)
call('ZADD', claim_ends, ends, id)
call('ZADD', gc_due, 'LT', ends, incarnation)
sweep_at(h, ends, incarnation)
return {0}
