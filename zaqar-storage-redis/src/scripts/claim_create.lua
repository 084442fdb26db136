-- keys: head messages states claimable hidden leased delayed expiring retired claims claim_ends transfers transfer_leases sweep_due gc_due transfers_due
-- lib: head state chunks due sooner held takeable
-- ARGV: queue, now, incarnation, claim, limit, end, ttl, end with grace, ttl with grace,
--   claims allowed or '', target, ttl at the target, a name for this call
-- Answers: how many were parked, then position, record and state of each message; 5: only what was
-- due was done, ask again.
local h, refusal = find_head()
if not h then return refusal end
local now, incarnation, id, limit = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])

local known = call('HGET', claims, id)
if known then
  -- A repeat: what the claim still holds, and nothing more. It is this caller's from now on: that an
  -- earlier one left does not release it any more.
  if string.sub(known, 25, 40) ~= ARGV[13] then
    call('HSET', claims, id, string.sub(known, 1, 24) .. ARGV[13] .. string.sub(known, 41))
  end
  local answer = {0, 0}
  local ids, records, of = held_by(id, known, now)
  for i = 1, #ids do
    local s = of[i]
    answer[#answer + 1] = ids[i]
    answer[#answer + 1] = records[i]
    answer[#answer + 1] = pack_state(s.expires, s.ttl, s.ends, s.count, s.flag, s.claim)
  end
  return answer
end

local more = false
if h.due <= now then
  local _
  _, more = settle(incarnation, now)
  h.due = tonumber(call('HGET', head, 'due'))
end

local ends, ttl = tonumber(ARGV[6]), tonumber(ARGV[7])
local claims_max = tonumber(ARGV[10])
local answer, taken, parked = {0, 0}, {}, {}
local rows, raised, on_the_way = {}, {}, {}
local offset = 0
while #taken < limit and #parked < K and offset < limit + K do
  local ids = takeable(h, offset, limit - #taken)
  if #ids == 0 then break end
  offset = offset + #ids
  local records = call('HMGET', messages, unpack(ids))
  local present = call('HMGET', states, unpack(ids))
  for i = 1, #ids do
    local s = read_state(records[i], present[i])
    if s.expires > now then
      local seq = ids[i]
      if claims_max and s.count >= claims_max then
        parked[#parked + 1] = seq
        rows[#rows + 1] = seq
        rows[#rows + 1] = pack_state(math.huge, s.ttl, 0, s.count, 2, s.claim)
        on_the_way[#on_the_way + 1] = seq
        on_the_way[#on_the_way + 1] = struct.pack('>dd', tonumber(ARGV[12]), 0) .. NOBODY .. ARGV[11]
        raised[#raised + 1] = 'inf'
        raised[#raised + 1] = seq
      else
        if s.expires < ends then
          s.expires, s.ttl = tonumber(ARGV[8]), tonumber(ARGV[9])
          raised[#raised + 1] = ARGV[8]
          raised[#raised + 1] = seq
        end
        local state = pack_state(s.expires, s.ttl, ends, s.count + 1, 1, id)
        taken[#taken + 1] = seq
        rows[#rows + 1] = seq
        rows[#rows + 1] = state
        answer[#answer + 1] = seq
        answer[#answer + 1] = records[i]
        answer[#answer + 1] = state
      end
    end
  end
end
if #taken == 0 and #parked == 0 then
  if more then return {5} end
  return answer
end

-- The first write is one that a full server takes: consumers must be able to empty it.
local places, ending = {}, {}
for i = 1, #taken do
  places[2 * i - 1], places[2 * i] = taken[i], taken[i]
  ending[2 * i - 1], ending[2 * i] = ends, taken[i]
end
call_all('ZREM', claimable, taken)
call_all('ZADD', hidden, places)
call_all('ZADD', leased, ending)
call_all('ZADD', expiring, raised)
if #parked > 0 then
  local hide, unleased = {}, {}
  for i = 1, #parked do
    hide[2 * i - 1], hide[2 * i] = parked[i], parked[i]
    unleased[2 * i - 1], unleased[2 * i] = 0, string.format('%016.0f', tonumber(parked[i]))
  end
  call_all('ZREM', claimable, parked)
  call_all('ZADD', hidden, hide)
  call_all('HSET', transfers, on_the_way)
  call_all('ZADD', transfer_leases, unleased)
  call('ZADD', transfers_due, 0, incarnation)
end
call_all('HSET', states, rows)
if #taken > 0 then
  call('HSET', claims, id, struct.pack('>ddd', ttl, now, ends) .. ARGV[13] .. table.concat(taken, ','))
  call('ZADD', claim_ends, ends, id)
  call('ZADD', gc_due, 'LT', ends, incarnation)
  sweep_at(h, ends, incarnation)
end
answer[2] = #parked
return answer
