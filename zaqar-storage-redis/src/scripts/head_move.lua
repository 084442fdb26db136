-- keys: head fence
-- lib: head leap
-- ARGV: queue, epoch
-- What the queue holds ends where the head moved first; nothing of it is on its way yet.
local h, refusal = any_head()
if not h then return refusal end
if tonumber(ARGV[2]) < tonumber(h.epoch) then return {2, h.epoch} end
local frozen = h.moved and h.from < h.to
-- The first write is one that a full server takes: what moves away makes room.
call('HDEL', head, 'epoch')
call('HSET', head, 'state', 1, 'epoch', ARGV[2])
if not h.moved then
  local place, run = next_position(h)
  h.next = place
  call('HSET', head, 'next', place, 'run', run, 'from', place, 'to', place)
end
return {0, 1, ARGV[2], h.next, h.sub, frozen and 1 or 0}
