-- keys: head fence
-- lib: head leap
-- ARGV: key, epoch
local h, refusal = find_head()
if not h then return refusal end
if h.moved and tonumber(ARGV[2]) < tonumber(h.epoch) then return {2, h.epoch} end
local place, run = next_position(h)
call('HSET', head, 'state', 1, 'epoch', ARGV[2], 'next', place, 'run', run)
return {0, 1, ARGV[2], place, h.sub}
