-- Removes a step of entries that lie below every active cursor and have no retry left.
local TRIM_MAX = 1000

-- The lowest cursor of a subscription that is not over.
local function lowest_cursor(now)
  local offset = 0
  while offset < 10 * TRIM_MAX do
    local found = call('ZRANGE', cursors, offset, offset + 99, 'WITHSCORES')
    for i = 1, #found, 2 do
      if tonumber(call('ZSCORE', subscription_ends, found[i]) or 0) > now then
        return '(' .. found[i + 1]
      end
    end
    if #found < 200 then return '+inf' end
    offset = offset + 100
  end
  return '-inf'
end

local function trim(incarnation, now, rows_max)
  local entries = call(
    'ZRANGEBYSCORE', outbox_index, '-inf', lowest_cursor(now), 'WITHSCORES', 'LIMIT', 0,
    rows_max or TRIM_MAX)
  local gone = {}
  for i = 1, #entries, 2 do
    if call('ZCOUNT', retry_positions, entries[i], entries[i + 1]) == 0 then
      gone[#gone + 1] = entries[i]
    end
  end
  call_all('ZREM', outbox_index, gone)
  call_all('HDEL', outbox, gone)
  if call('ZCARD', outbox_index) == 0 then call('ZREM', outbox_due, incarnation) end
  return #gone
end
