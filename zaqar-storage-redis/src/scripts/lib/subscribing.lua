-- Changing subscriptions: what the head, the cursors and the retries must know of it.
local function save(number, s)
  call('HSET', subscriptions, number, cmsgpack.pack(s))
  call('ZADD', subscription_order, number, number)
  call('ZADD', subscription_ends, s[ENDS], number)
  if is_active(s) then
    call('ZADD', cursors, s[CURSOR], number)
  else
    call('ZREM', cursors, number)
  end
end

-- A number that no subscription and no lane of this queue had before.
local function fresh_number()
  return call('HINCRBY', head, 'sub_next', 1)
end

-- Drops the retries of a lane, a step of them; what is left waits in a grave for the collection.
local function drop_lane(number, lane, incarnation, rows_max)
  rows_max = rows_max or RETRIES_MAX
  local name = string.format('%016.0f', lane)
  local rows = call('ZRANGEBYLEX', retries_due, '[' .. name, '(' .. name .. ';', 'LIMIT', 0, rows_max)
  local positions = {}
  for i = 1, #rows do
    positions[i] = name .. ':' .. string.sub(rows[i], -16)
  end
  call_all('ZREM', retries_due, rows)
  call_all('HDEL', retries, positions)
  call_all('ZREM', retry_positions, positions)
  if number then call('ZREM', retries_next, number) end
  if #rows == rows_max then
    call('SADD', graves, name)
    call('ZADD', gc_due, 0, incarnation)
  else
    call('SREM', graves, name)
  end
  return #rows
end

-- Starts delivery afresh: only what is posted from now on.
local function restart(number, s, position, incarnation)
  drop_lane(number, s[LANE], incarnation)
  s[LANE] = fresh_number()
  s[SINCE], s[CURSOR], s[LEASE], s[LEASE_ENDS] = position, position, '', 0
end

local function forget(number, s, incarnation)
  drop_lane(number, s[LANE], incarnation)
  call('HDEL', subscriptions, number)
  if call('HGET', subscribers, s[SUBSCRIBER]) == tostring(number) then
    call('HDEL', subscribers, s[SUBSCRIBER])
  end
  call('ZREM', subscription_order, number)
  call('ZREM', subscription_ends, number)
  call('ZREM', cursors, number)
end

local function settle_head(incarnation, now)
  call('HSET', head, 'sub', call('ZCARD', cursors))
  local first = call('ZRANGE', subscription_ends, 0, 0, 'WITHSCORES')[2]
  if first then call('ZADD', gc_due, 'LT', first, incarnation) end
  return trim(incarnation, now)
end
