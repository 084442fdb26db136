-- keys: head
-- lib: head
-- ARGV: queue
local h, refusal = find_head()
if not h then return refusal end
return {0, h.moved and 1 or 0, h.epoch, h.next, h.sub, h.from < h.to and 1 or 0}
