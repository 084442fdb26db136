-- keys: head messages states arrivals
-- lib: head state resolve
-- ARGV: queue, now, incarnation, then the ids
-- Answers position, record and state of each message that is there.
local h, refusal = find_head()
if not h then return refusal end
local now, answer = tonumber(ARGV[2]), {0}
local places = places_from(4)
if #places == 0 then return answer end
local records = call('HMGET', messages, unpack(places))
local present = call('HMGET', states, unpack(places))
for i = 1, #places do
  local seq, record, state = places[i], records[i], present[i]
  if not record or (state and string.byte(state, 29) == 2) then
    local other = moved_within(ARGV[3], seq)
    local found = other and call('HGET', messages, other)
    if found then
      seq, record, state = other, found, call('HGET', states, other)
    end
  end
  if record and read_state(record, state).expires > now then
    answer[#answer + 1] = seq
    answer[#answer + 1] = record
    answer[#answer + 1] = state or ''
  end
end
return answer
