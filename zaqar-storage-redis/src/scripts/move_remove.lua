-- keys: head messages states claimable hidden leased delayed expiring
-- lib: head chunks state walk remove moving part
-- ARGV: queue, where the part begins
local h, refusal = find_head_of_move()
if not h then return refusal end
if tonumber(ARGV[2]) ~= h.from or h.from >= h.to then return {0} end
local gone = {}
each_of_part(h, function(places, _, present)
  for i = 1, #places do
    if not present[i] or string.byte(present[i], 29) ~= 2 then gone[#gone + 1] = places[i] end
  end
end)
set_bound('to', h.from)
call_all('ZREM', claimable, gone)
call_all('ZREM', delayed, gone)
remove_held(gone)
return {0}
