-- keys: head messages states claimable hidden leased delayed expiring claims claim_ends arrivals arrival_order sweep_due gc_due
-- lib: head chunks state sooner moving
-- ARGV: queue, incarnation, where the part begins, where it ends, then for each message: position,
--   record, the id that it came with or '', count of claims, claim or '', its ttl, start and end
-- Answers 12: something is on its way, or the part does not end where the last one began.
local h, refusal = find_head_of_move()
if not h then return refusal end
local incarnation, from, to = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if from >= h.from then return {0} end
if h.from < h.to or to ~= h.from then return {12, text_of(h.from), text_of(h.to)} end

local purged, soonest = tonumber(call('HGET', head, 'purged') or 0), math.huge
local rows, changed, lives, free, wait, ending, late = {}, {}, {}, {}, {}, {}, {}
local arrived, ordered, by_claim = {}, {}, {}
local function pair(index, score, member)
  index[#index + 1], index[#index + 2] = score, member
end
for i = 5, #ARGV, 8 do
  local seq, record, origin, count = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  if tonumber(seq) >= purged then
    local expires, avail, _, ttl = struct.unpack('>dddd', record)
    local id, ends = ARGV[i + 4], tonumber(ARGV[i + 7])
    pair(rows, seq, record)
    pair(lives, expires, seq)
    soonest = math.min(soonest, expires)
    if id ~= '' then
      pair(changed, seq, pack_state(expires, ttl, ends, count, 1, id))
      pair(wait, seq, seq)
      pair(ending, ends, seq)
      soonest = math.min(soonest, ends)
      local claim = by_claim[id] or {ttl = tonumber(ARGV[i + 5]), start = tonumber(ARGV[i + 6]), list = {}}
      claim.ends = math.max(claim.ends or 0, ends)
      claim.list[#claim.list + 1] = seq
      by_claim[id] = claim
    else
      if count > 0 then pair(changed, seq, pack_state(expires, ttl, 0, count, 0, NOBODY)) end
      if avail > 0 then
        pair(wait, seq, seq)
        pair(late, avail, seq)
        soonest = math.min(soonest, avail)
      else
        pair(free, seq, seq)
      end
    end
    if origin ~= '' then
      pair(arrived, origin, seq)
      pair(ordered, seq, origin)
    end
  end
end

-- The first write is one that a full server refuses; after it nothing can fail.
call_all('HSET', messages, rows)
call('HSET', head, 'from', ARGV[3], 'to', ARGV[4])
call_all('HSET', states, changed)
call_all('ZADD', expiring, lives)
call_all('ZADD', claimable, free)
call_all('ZADD', hidden, wait)
call_all('ZADD', leased, ending)
call_all('ZADD', delayed, late)
call_all('HSET', arrivals, arrived)
call_all('ZADD', arrival_order, ordered)
for id, claim in pairs(by_claim) do
  -- What came before it under the same claim lies behind it, and may have been renewed here.
  local known = call('HGET', claims, id)
  local list, call_name = table.concat(claim.list, ','), NOBODY
  if known then
    local ttl, start, ends = struct.unpack('>ddd', known)
    if ends > claim.ends then claim.ttl, claim.start, claim.ends = ttl, start, ends end
    call_name = string.sub(known, 25, 40)
    if #known > 40 then list = list .. ',' .. string.sub(known, 41) end
  end
  call('HSET', claims, id, struct.pack('>ddd', claim.ttl, claim.start, claim.ends) .. call_name .. list)
  call('ZADD', claim_ends, claim.ends, id)
  call('ZADD', gc_due, 'LT', claim.ends, incarnation)
end
sweep_at(h, soonest, incarnation)
return {0}
