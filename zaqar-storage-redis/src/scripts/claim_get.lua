-- keys: head messages states leased claims
-- lib: head state held
-- ARGV: queue, now, claim
-- Answers: ttl, start and end of the claim, then position, record and state of each message; 6: no
-- such claim.
local h, refusal = find_head()
if not h then return refusal end
local now = tonumber(ARGV[2])
local known = call('HGET', claims, ARGV[3])
if not known then return {6} end
local ids, records, of = held_by(ARGV[3], known, now)
if #ids == 0 then return {6} end
local ttl, start, ends = struct.unpack('>ddd', known)
local answer = {0, ttl, start, ends}
for i = 1, #ids do
  local s = of[i]
  answer[#answer + 1] = ids[i]
  answer[#answer + 1] = records[i]
  answer[#answer + 1] = pack_state(s.expires, s.ttl, s.ends, s.count, s.flag, s.claim)
end
return answer
