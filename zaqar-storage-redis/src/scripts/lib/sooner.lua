-- Sees to it that the queue is swept at a moment, if that comes before what was due next.
local function sweep_at(h, moment, incarnation)
  if moment < h.due then
    call('HSET', head, 'due', moment)
    call('ZADD', sweep_due, moment, incarnation)
  end
end
