-- keys: head subscriptions subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next exhausted outbox_due
-- lib: head chunks trim subscription
-- ARGV: queue, now, incarnation, number, lease, 1 if it is released, number of messages delivered,
--   their positions, then for each outcome: position, message, attempts when it was leased, kind,
--   moment, reason
-- Kinds: 0 delivered, 1 to be tried again, 2 given up. Answers 6: the lease is over or another's;
-- 3: the outcomes leave a gap among the new messages.
local h, refusal = find_head()
if not h then return refusal end
local now, incarnation, number = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local s = load(number)
if not s or s[ENDS] <= now or s[LEASE] ~= ARGV[5] or s[LEASE_ENDS] <= now then return {6} end
local name = string.format('%016.0f', s[LANE])
local function row_of(position) return name .. ':' .. string.format('%016.0f', position) end

local delivered = tonumber(ARGV[7])
local told = {}
for i = 8 + delivered, #ARGV, 6 do told[tonumber(ARGV[i])] = i end
local cursor, skipped, new = s[CURSOR], false, {}
for i = 8, 7 + delivered do
  local position = tonumber(ARGV[i])
  if position >= s[CURSOR] and call('HEXISTS', retries, row_of(position)) == 0 then
    if told[position] then
      if skipped then return {3} end
      cursor, new[position] = position + 1, true
    else
      skipped = true
    end
  end
end

s[CURSOR] = cursor
if ARGV[6] == '1' then s[LEASE], s[LEASE_ENDS] = '', 0 end
call('HSET', subscriptions, number, cmsgpack.pack(s))
if is_active(s) then call('ZADD', cursors, cursor, number) end
for i = 8 + delivered, #ARGV, 6 do
  local position = tonumber(ARGV[i])
  local row = row_of(position)
  local known = call('HGET', retries, row)
  local counted, before
  if known then counted, before = string.match(known, '^(%d+),(%d+)$') end
  local attempts = tonumber(ARGV[i + 2]) + 1
  -- An earlier call under this lease may have recorded it: nothing counts twice.
  if new[position] or (known and tonumber(counted) < attempts) then
    if known then
      call('ZREM', retries_due, name .. ':' .. before .. ':' .. string.sub(row, -16))
    end
    if ARGV[i + 3] == '1' then
      local moment = string.format('%016.0f', tonumber(ARGV[i + 4]))
      call('HSET', retries, row, string.format('%.0f,%s', attempts, moment))
      call('ZADD', retries_due, 0, name .. ':' .. moment .. ':' .. string.sub(row, -16))
      call('ZADD', retry_positions, position, row)
    else
      call('HDEL', retries, row)
      call('ZREM', retry_positions, row)
      if ARGV[i + 3] == '2' then
        local record = call('HINCRBY', head, 'exhausted_next', 1)
        call('HSET', exhausted, record,
          cmsgpack.pack({ARGV[i + 1], s[SUBSCRIBER], attempts, ARGV[i + 5], now}))
      end
    end
  end
end
local first = call('ZRANGEBYLEX', retries_due, '[' .. name, '(' .. name .. ';', 'LIMIT', 0, 1)[1]
if first then
  call('ZADD', retries_next, tonumber(string.sub(first, 18, 33)), number)
else
  call('ZREM', retries_next, number)
end
call('ZADD', outbox_due, 0, incarnation)
trim(incarnation, now)
return {0}
