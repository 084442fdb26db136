-- keys: head messages states claimable hidden leased delayed expiring retired sweep_due gc_due
-- lib: head state chunks due remove takeable
-- ARGV: queue, now, incarnation, limit
-- Answers position, record and state of each message; 5: only what was due was done, ask again.
local h, refusal = find_head()
if not h then return refusal end
local now, limit = tonumber(ARGV[2]), tonumber(ARGV[4])
local more = false
if h.due <= now then
  local _
  _, more = settle(ARGV[3], now)
end
local answer, taken, offset = {0}, {}, 0
while #taken < limit and offset < limit + K do
  local ids = takeable(h, offset, limit - #taken)
  if #ids == 0 then break end
  offset = offset + #ids
  local records = call('HMGET', messages, unpack(ids))
  local present = call('HMGET', states, unpack(ids))
  for i = 1, #ids do
    if read_state(records[i], present[i]).expires > now then
      taken[#taken + 1] = ids[i]
      answer[#answer + 1] = ids[i]
      answer[#answer + 1] = records[i]
      answer[#answer + 1] = present[i] or ''
    end
  end
end
if #taken == 0 then
  if more then return {5} end
  return answer
end
remove_free(taken)
return answer
