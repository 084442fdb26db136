-- keys: head post_keys post_key_ends arrivals arrival_order origins exhausted
-- lib: head moving
-- ARGV: queue, now, limit, where to go on: the kind of the last record, its number, its name
-- Kinds, in this order: 'k' a key, by the moment at which it is forgotten; 'a' an arrival, by its place;
-- 'e' a delivery that was given up, by its number. Answers of each record its kind, number and name; and
-- of a key what is stored under it, of an arrival where it came from, of a delivery its fields.
local h, refusal = find_head_of_move()
if not h then return refusal end
local now, limit, kind, number, name = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local answer, found = {0}, 0
local function tell(...)
  for _, field in ipairs({...}) do answer[#answer + 1] = field end
end

if kind == 'k' then
  -- A key that was collected meanwhile is not there to go on from: its moment is.
  local rank = call('ZSCORE', post_key_ends, name) == number and call('ZRANK', post_key_ends, name) + 1
    or call('ZCOUNT', post_key_ends, '-inf', '(' .. number)
  rank = math.max(rank, call('ZCOUNT', post_key_ends, '-inf', now))
  local keys = call('ZRANGE', post_key_ends, rank, rank + limit - 1, 'WITHSCORES')
  for i = 1, #keys, 2 do
    tell('k', keys[i + 1], keys[i], call('HGET', post_keys, keys[i]))
    found = found + 1
  end
  kind, number = 'a', '-inf'
end
if kind == 'a' and found < limit then
  local ids = call('ZRANGEBYSCORE', arrival_order, '(' .. number, '+inf', 'WITHSCORES', 'LIMIT', 0,
    limit - found)
  for i = 1, #ids, 2 do
    tell('a', ids[i + 1], ids[i], call('HGET', origins, ids[i]) or '')
    found = found + 1
  end
  kind, number = 'e', '0'
end
if kind == 'e' then
  number = tonumber(number)
  while found < limit do
    number = number + 1
    local packed = call('HGET', exhausted, number)
    if not packed then break end
    tell('e', number, '', unpack(cmsgpack.unpack(packed)))
    found = found + 1
  end
end
return answer
