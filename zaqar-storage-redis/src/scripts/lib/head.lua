-- How a caller names its queue: the latest move of it that the caller knows of, a space, its key.
local function caller()
  local known, key = string.match(ARGV[1], '^(%d+) (.*)$')
  return tonumber(known), key
end

-- The head of the queue that ARGV[1] names, whatever moves the caller knows of, or the refusal of an
-- operation on it. Every script answers with an array that begins with a number: 0 done, 1 gone, 2 moved,
-- 10 on its way. What is on its way are the places of the head from `from` on and below `to`.
local function any_head()
  local f = call('HMGET', head, 'key', 'state', 'epoch', 'next', 'sub', 'due', 'run', 'from', 'to')
  local known, key = caller()
  if f[1] ~= key or tonumber(f[2]) > 1 then return nil, {1} end
  return {
    known = known,
    moved = f[2] == '1',
    epoch = f[3],
    next = tonumber(f[4]),
    sub = f[5],
    due = tonumber(f[6] or 'inf'),
    run = f[7],
    from = tonumber(f[8] or 0),
    to = tonumber(f[9] or 0),
  }
end

-- As any_head; a caller that does not know of the latest move would take what is here for all there is.
local function find_head()
  local h, refusal = any_head()
  if h and tonumber(h.epoch) > h.known then return nil, {2, h.epoch} end
  return h, refusal
end

-- As find_head, for something new: a moved queue takes no message and changes no subscription.
local function find_head_for_news()
  local h, refusal = find_head()
  if h and h.moved then return nil, {2, h.epoch} end
  return h, refusal
end

-- Whether a place is among those that are on their way: nothing there may change.
local function on_its_way(h, seq)
  local place = tonumber(seq)
  return place >= h.from and place < h.to
end
