-- keys: head subscriptions subscription_ends cursors outbox outbox_index retries retries_due retries_next outbox_due
-- lib: subscription
-- ARGV: incarnation, now, lease, its end, subscriptions at most, messages of each at most, 1 if the
--   caller has a name, its name, candidates to pass over
-- Answers: key and epoch of the queue, candidates to pass over next ('' at the end), number of deliveries; each
-- is a subscription, its number of retries with position, attempts and entry, its number of entries,
-- and those; then the entries: number, first position and content of each.
local incarnation, now = ARGV[1], tonumber(ARGV[2])
local f = call('HMGET', head, 'key', 'state', 'epoch')
if not f[2] or tonumber(f[2]) > 1 then
  call('ZREM', outbox_due, incarnation)
  return {0, '', 0, '', 0, 0}
end
local most, each = tonumber(ARGV[5]), tonumber(ARGV[6])
local owner = ARGV[7] == '1' and ARGV[8]
local skip = tonumber(ARGV[9])
local EXAMINED_MAX, ENTRIES_MAX = 1000, 1000

-- Candidates: those whose cursor is behind, then those with a retry that is due.
local newest = call('ZRANGE', outbox_index, -1, -1, 'WITHSCORES')[2] or '-inf'
local numbers = call('ZRANGEBYSCORE', cursors, '-inf', newest, 'LIMIT', skip, EXAMINED_MAX)
local behind = #numbers
local seen = {}
for i = 1, #numbers do seen[numbers[i]] = true end
local retrying = call('ZRANGEBYSCORE', retries_next, '-inf', now, 'LIMIT', skip, EXAMINED_MAX)
for i = 1, #retrying do
  if not seen[retrying[i]] then numbers[#numbers + 1] = retrying[i] end
end
local full = behind == EXAMINED_MAX or #retrying == EXAMINED_MAX

local body, deliveries, entries, entry_count = {}, 0, {}, 0
local order = {}
local function need(first)
  if not entries[first] then
    entries[first] = true
    order[#order + 1] = first
    entry_count = entry_count + 1
  end
end

-- The entry that holds a position.
local function entry_of(position)
  return call('ZRANGEBYSCORE', outbox_index, position, '+inf', 'LIMIT', 0, 1)[1]
end

local later, left = math.huge, false
for i = 1, #numbers do
  local number = numbers[i]
  local s = load(number)
  if s and s[ENDS] > now and is_active(s) then
    if s[OWNER] and s[OWNER] ~= owner then
      left = true
    elseif s[LEASE_ENDS] > now then
      later = math.min(later, s[LEASE_ENDS])
    elseif deliveries >= most or entry_count >= ENTRIES_MAX then
      left = true
      break
    else
      local name = string.format('%016.0f', s[LANE])
      local due = call('ZRANGEBYLEX', retries_due, '[' .. name,
        '[' .. name .. ':' .. string.format('%016.0f', now) .. ';', 'LIMIT', 0, each)
      local positions = {}
      for j = 1, #due do positions[j] = tonumber(string.sub(due[j], -16)) end
      table.sort(positions)
      local mine, retries_of = {}, {}
      for j = 1, #positions do
        local first = entry_of(positions[j])
        if first then
          need(first)
          local row = name .. ':' .. string.format('%016.0f', positions[j])
          local attempts = string.match(call('HGET', retries, row) or '0', '^%d+')
          retries_of[#retries_of + 1] = positions[j]
          retries_of[#retries_of + 1] = tonumber(attempts)
          retries_of[#retries_of + 1] = first
        end
      end
      local room = each - #retries_of / 3
      if room > 0 then
        -- No more entries than hold what may be handed out.
        local ahead = call(
          'ZRANGEBYSCORE', outbox_index, s[CURSOR], '+inf', 'WITHSCORES', 'LIMIT', 0, room)
        for j = 1, #ahead, 2 do
          if room <= 0 then break end
          mine[#mine + 1] = ahead[j]
          need(ahead[j])
          room = room - (tonumber(ahead[j + 1]) - math.max(tonumber(ahead[j]), s[CURSOR]) + 1)
        end
      end
      if #retries_of > 0 or #mine > 0 then
        deliveries = deliveries + 1
        s[LEASE], s[LEASE_ENDS] = ARGV[3], tonumber(ARGV[4])
        call('HSET', subscriptions, number, cmsgpack.pack(s))
        later = math.min(later, s[LEASE_ENDS])
        show(body, number, s)
        body[#body + 1] = s[CURSOR]
        body[#body + 1] = #retries_of / 3
        for j = 1, #retries_of do body[#body + 1] = retries_of[j] end
        body[#body + 1] = #mine
        for j = 1, #mine do body[#body + 1] = mine[j] end
      end
    end
  end
end

local next_retry = call('ZRANGEBYSCORE', retries_next, '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
later = math.min(later, tonumber(next_retry or 'inf'))
local go_on = ''
if full and not (deliveries >= most) then go_on = string.format('%.0f', skip + EXAMINED_MAX) end
if not left and not full and skip == 0 then
  if later == math.huge then
    call('ZREM', outbox_due, incarnation)
  else
    call('ZADD', outbox_due, later, incarnation)
  end
end

local answer = {0, f[1], f[3], go_on, deliveries}
for i = 1, #body do answer[#answer + 1] = body[i] end
answer[#answer + 1] = entry_count
for i = 1, #order do
  answer[#answer + 1] = order[i]
  answer[#answer + 1] = call('HGET', outbox, order[i])
end
return answer
