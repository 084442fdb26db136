-- keys: head messages claimable hidden delayed expiring post_keys post_key_ends outbox outbox_index sweep_due gc_due outbox_due
-- lib: head chunks
-- ARGV: key, now, incarnation, last position, post key or '', its digest, its end, then the records
-- Answers: first position, how many, whether an earlier post stored them; 3: another digest has
-- the key; 4: no positions left.
local h, refusal = find_head_for_posts()
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
local n, first = #ARGV - 7, h.next
if first + n > tonumber(ARGV[4]) then return {4} end

local rows, free, ends, wait, late = {}, {}, {}, {}, {}
local soonest = math.huge
for i = 1, n do
  local record = ARGV[7 + i]
  local expires, avail = struct.unpack('>dd', record)
  local seq = string.format('%.0f', first + i - 1)
  rows[2 * i - 1] = seq
  rows[2 * i] = record
  ends[2 * i - 1] = expires
  ends[2 * i] = seq
  soonest = math.min(soonest, expires)
  local index = free
  if avail > 0 then
    index = wait
    late[#late + 1] = avail
    late[#late + 1] = seq
    soonest = math.min(soonest, avail)
  end
  index[#index + 1] = seq
  index[#index + 1] = seq
end

-- The first write is one that a full server refuses; after it nothing can fail.
call_all('HSET', messages, rows)
call_all('ZADD', expiring, ends)
call_all('ZADD', claimable, free)
call_all('ZADD', hidden, wait)
call_all('ZADD', delayed, late)
if soonest < h.due then
  call('HSET', head, 'next', first + n, 'due', soonest)
  call('ZADD', sweep_due, soonest, ARGV[3])
else
  call('HSET', head, 'next', first + n)
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
