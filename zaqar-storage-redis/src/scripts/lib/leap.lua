-- The position that the next message gets, and the run of the server to note with it. Where writes wait
-- for copies, a write is seen before it has them: if the server is lost then, a reader has a marker
-- beyond positions that were never there. They are not given again: under a new run, as many are left
-- free as can have been on their way.
local LEAP = 1048576
local function next_position(h)
  local run = call('GET', fence) or ''
  if run == (h.run or '') then return h.next, run end
  return h.next + LEAP, run
end
