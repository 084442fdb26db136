-- keys: head post_keys post_key_ends arrivals arrival_order origins exhausted exhausted_moved gc_due
-- lib: head moving
-- ARGV: queue, now, incarnation, then the records: 'k', key, its end, what is stored under it; 'a', id,
--   place, where it came from or ''; 'e', message, subscriber, attempts, reason, moment
-- What is remembered already stays as it is.
local h, refusal = find_head_of_move()
if not h then return refusal end
local now, incarnation, i = tonumber(ARGV[2]), ARGV[3], 4
while i <= #ARGV do
  local kind, name = ARGV[i], ARGV[i + 1]
  if kind == 'k' then
    local known = call('HGET', post_keys, name)
    if not known or struct.unpack('>d', known) <= now then
      call('HSET', post_keys, name, ARGV[i + 3])
      call('ZADD', post_key_ends, ARGV[i + 2], name)
      call('ZADD', gc_due, 'LT', ARGV[i + 2], incarnation)
    end
    i = i + 4
  elseif kind == 'a' then
    if call('HSETNX', arrivals, name, ARGV[i + 2]) == 1 then
      call('ZADD', arrival_order, ARGV[i + 2], name)
    end
    if ARGV[i + 3] ~= '' then call('HSETNX', origins, name, ARGV[i + 3]) end
    i = i + 4
  else
    local subscriber = ARGV[i + 2]
    if call('SADD', exhausted_moved, name .. ' ' .. subscriber) == 1 then
      local number = call('HINCRBY', head, 'exhausted_next', 1)
      call('HSET', exhausted, number, cmsgpack.pack(
        {name, subscriber, tonumber(ARGV[i + 3]), ARGV[i + 4], tonumber(ARGV[i + 5])}))
    end
    i = i + 6
  end
end
return {0}
