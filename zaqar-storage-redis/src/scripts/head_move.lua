-- keys: head
-- lib: head
-- ARGV: key, epoch
local h, refusal = find_head()
if not h then return refusal end
if h.moved and tonumber(ARGV[2]) < tonumber(h.epoch) then return {2, h.epoch} end
call('HSET', head, 'state', 1, 'epoch', ARGV[2])
return {0, 1, ARGV[2], h.next, h.sub}
