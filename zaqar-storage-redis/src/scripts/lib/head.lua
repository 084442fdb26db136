-- The head of the queue that ARGV[1] names, or the refusal of an operation on it.
-- Every script answers with an array that begins with a number: 0 done, 1 gone, 2 moved.
local function find_head()
  local f = call('HMGET', head, 'key', 'state', 'epoch', 'next', 'sub', 'due', 'run')
  if f[1] ~= ARGV[1] or f[2] == '2' or f[2] == '3' then return nil, {1} end
  return {
    moved = f[2] == '1',
    epoch = f[3],
    next = tonumber(f[4]),
    sub = f[5],
    due = tonumber(f[6] or 'inf'),
    run = f[7],
  }
end

-- As find_head, for a new message: a moved queue takes none.
local function find_head_for_posts()
  local h, refusal = find_head()
  if h and h.moved then return nil, {2, h.epoch} end
  return h, refusal
end
