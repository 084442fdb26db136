-- keys: head
-- lib: head moving
-- ARGV: queue, where the part begins
local h, refusal = find_head_of_move()
if not h then return refusal end
if tonumber(ARGV[2]) == h.from and h.from < h.to then set_bound('to', h.from) end
return {0}
