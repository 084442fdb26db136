-- keys: head messages claimable hidden delayed expiring post_keys post_key_ends outbox outbox_index sweep_due gc_due outbox_due fence
-- lib: head leap chunks
-- ARGV: queue, now, incarnation, last position, post key or '', its digest, its end, then the records
-- Answers: first position, how many, whether an earlier post stored them; 3: another digest has
-- the key; 4: no positions left.
local h, refusal = find_head()
if not h then return refusal end
local now, post_key = tonumber(ARGV[2]), ARGV[5]
if post_key ~= '' then
  local known = call('HGET', post_keys, post_key)
  if known then
    local till, first, count = struct.unpack('>ddd', known)
    if now < till then
      if string.sub(known, 25) ~= ARGV[6] then return {3} end
      return {0, first, count, 1}
    end
  end
end
if h.moved then return {2, h.epoch} end
local n, first, run = #ARGV - 7, next_position(h)
if first + n > tonumber(ARGV[4]) then return {4} end

local rows, places, ends, soonest = {}, {}, {}, math.huge
local free, wait, late = places, nil, nil
local life, life_text = nil, nil
for i = 1, n do
  local record, even = ARGV[7 + i], 2 * i
  local expires, avail = struct.unpack('>dd', record)
  local seq = string.format('%.0f', first + i - 1)
  if expires ~= life then
    life, life_text = expires, string.format('%.0f', expires)
    if expires < soonest then soonest = expires end
  end
  rows[even - 1], rows[even] = seq, record
  ends[even - 1], ends[even] = life_text, seq
  places[even - 1], places[even] = seq, seq
  if avail > 0 then
    late = late or {}
    late[#late + 1], late[#late + 2] = avail, seq
    if avail < soonest then soonest = avail end
  end
end
if late then
  -- Rare: tell apart what is delayed.
  local delays = {}
  for i = 2, #late, 2 do delays[late[i]] = true end
  free, wait = {}, {}
  for i = 1, 2 * n, 2 do
    local index = delays[places[i]] and wait or free
    index[#index + 1], index[#index + 2] = places[i], places[i]
  end
end

-- The first write is one that a full server refuses; after it nothing can fail.
call_all('HSET', messages, rows)
call_all('ZADD', expiring, ends)
call_all('ZADD', claimable, free)
if late then
  call_all('ZADD', hidden, wait)
  call_all('ZADD', delayed, late)
end
if soonest < h.due then
  call('HSET', head, 'next', first + n, 'run', run, 'due', soonest)
  call('ZADD', sweep_due, soonest, ARGV[3])
else
  call('HSET', head, 'next', first + n, 'run', run)
end
if post_key ~= '' then
  call('HSET', post_keys, post_key, struct.pack('>ddd', tonumber(ARGV[7]), first, n) .. ARGV[6])
  call('ZADD', post_key_ends, ARGV[7], post_key)
  call('ZADD', gc_due, 'LT', ARGV[7], ARGV[3])
end
if h.sub ~= '0' then
  local entry = {}
  for i = 1, n do
    local record = ARGV[7 + i]
    entry[i] = struct.pack('>I4', #record) .. record
  end
  call('HSET', outbox, first, table.concat(entry))
  call('ZADD', outbox_index, first + n - 1, first)
  call('ZADD', outbox_due, 0, ARGV[3])
end
return {0, first, n, 0}
