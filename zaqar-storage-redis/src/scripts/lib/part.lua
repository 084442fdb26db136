-- The messages of the part that is on its way, but for those that are parked: their places, records and
-- states are handed to a function, some at a time.
local function each_of_part(h, take)
  local STEP = 1000
  local after = text_of(h.from - 1)
  while h.from < h.to do
    local found = walk(after, STEP, false, true)
    local places = {}
    for i = 1, #found do
      if tonumber(found[i]) < h.to then places[i] = found[i] end
    end
    if #places == 0 then return end
    take(places, call('HMGET', messages, unpack(places)), call('HMGET', states, unpack(places)))
    if #places < STEP then return end
    after = places[STEP]
  end
end

-- Answers first place and end of the part, then of each living message: position, record, state, 1 if it
-- is held, ttl and start of the claim.
local function show_part(h, now)
  local answer = {0, text_of(h.from), text_of(h.to)}
  each_of_part(h, function(places, records, present)
    local under = call('ZMSCORE', leased, unpack(places))
    for i = 1, #places do
      local s = read_state(records[i], present[i])
      if s.flag ~= 2 and s.expires > now then
        local held, ttl, start = 0, 0, 0
        if s.flag == 1 and s.ends > now and under[i] then
          local known = call('HGET', claims, s.claim)
          held = 1
          if known then ttl, start = struct.unpack('>dd', known) end
        end
        local n = #answer
        answer[n + 1], answer[n + 2], answer[n + 3] = places[i], records[i], present[i] or ''
        answer[n + 4], answer[n + 5], answer[n + 6] = held, ttl, start
      end
    end
  end)
  return answer
end
