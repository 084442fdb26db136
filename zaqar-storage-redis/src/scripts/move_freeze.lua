-- keys: head messages states claimable hidden leased claims
-- lib: head state walk moving part
-- ARGV: queue, now, how many messages
-- Answers as move_part.
local h, refusal = find_source()
if not h then return refusal end
if h.from >= h.to then
  local limit, found, examined = tonumber(ARGV[3]), 0, 0
  local lowest, after = nil, text_of(h.to)
  -- Where nothing but parked messages is in reach, a part without messages takes the move past them.
  local examined_max = limit + 10000
  while found < limit and examined < examined_max do
    local places = walk(after, math.min(1000, limit - found), true, true)
    if #places == 0 then break end
    local present = call('HMGET', states, unpack(places))
    for i = 1, #places do
      if not present[i] or string.byte(present[i], 29) ~= 2 then
        found, lowest = found + 1, places[i]
      end
    end
    examined, after = examined + #places, places[#places]
  end
  if not lowest and examined >= examined_max then lowest = after end
  if lowest then
    h.from = tonumber(lowest)
    set_bound('from', h.from)
  end
end
return show_part(h, tonumber(ARGV[2]))
