-- Releases what has matured and retires what has expired: at most K rows of each kind in a step.
local K = 1000

local function release(index, now)
  local due = call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, K)
  if #due == 0 then return 0 end
  local free = {}
  for i = 1, #due do
    free[2 * i - 1] = due[i]
    free[2 * i] = due[i]
  end
  call_all('ZREM', index, due)
  call_all('ZREM', hidden, due)
  call_all('ZADD', claimable, free)
  return #due
end

-- A retired message is in no index but that of the collection.
local function retire(incarnation, now)
  local found = call('ZRANGEBYSCORE', expiring, '-inf', now, 'WITHSCORES', 'LIMIT', 0, K)
  if #found == 0 then return 0 end
  local dead, ended = {}, {}
  for i = 1, #found, 2 do
    dead[#dead + 1] = found[i]
    ended[i] = found[i + 1]
    ended[i + 1] = found[i]
  end
  call_all('ZREM', expiring, dead)
  call_all('ZREM', claimable, dead)
  call_all('ZREM', hidden, dead)
  call_all('ZREM', leased, dead)
  call_all('ZREM', delayed, dead)
  call_all('ZADD', retired, ended)
  call('ZADD', gc_due, 'LT', found[2], incarnation)
  return #dead
end

-- The moment at which something is next due in an index.
local function first_of(index)
  return tonumber(call('ZRANGE', index, 0, 0, 'WITHSCORES')[2] or 'inf')
end

-- Does a step of what is due; answers how many rows, and whether more is due already.
local function settle(incarnation, now)
  local rows = release(leased, now) + release(delayed, now) + retire(incarnation, now)
  local due = math.min(first_of(leased), first_of(delayed), first_of(expiring))
  if due == math.huge then
    call('HSET', head, 'due', 'inf')
    call('ZREM', sweep_due, incarnation)
  else
    call('HSET', head, 'due', due)
    call('ZADD', sweep_due, due, incarnation)
  end
  return rows, due <= now
end
