-- keys: head messages states transfers transfer_leases transfers_due
-- ARGV: incarnation, now, lease, its end, limit, queue or ''
-- Answers: key and epoch of the queue, then position, record, state, ttl and target of each; 1 or 2: the
-- queue that was named is closed, or has moved and the caller does not know.
local incarnation, now = ARGV[1], tonumber(ARGV[2])
local f = call('HMGET', head, 'key', 'state', 'epoch')
local closed = not f[2] or tonumber(f[2]) > 1
local known, key = string.match(ARGV[6], '^(%d+) (.*)$')
if key and (closed or f[1] ~= key) then return {1} end
if key and tonumber(f[3]) > tonumber(known) then return {2, f[3]} end
if closed then
  call('ZREM', transfers_due, incarnation)
  return {0, '', 0}
end
local answer = {0, f[1], f[3]}
local free = call('ZRANGEBYSCORE', transfer_leases, '-inf', now, 'LIMIT', 0, ARGV[5])
for i = 1, #free do
  local seq = string.format('%.0f', tonumber(free[i]))
  local transfer = call('HGET', transfers, seq)
  local ttl = struct.unpack('>d', transfer)
  answer[#answer + 1] = seq
  answer[#answer + 1] = call('HGET', messages, seq)
  answer[#answer + 1] = call('HGET', states, seq)
  answer[#answer + 1] = ttl
  answer[#answer + 1] = string.sub(transfer, 33)
  call('HSET', transfers, seq,
    struct.pack('>dd', ttl, tonumber(ARGV[4])) .. ARGV[3] .. string.sub(transfer, 33))
  call('ZADD', transfer_leases, ARGV[4], free[i])
end
local first = call('ZRANGE', transfer_leases, 0, 0, 'WITHSCORES')[2]
if first then
  call('ZADD', transfers_due, first, incarnation)
else
  call('ZREM', transfers_due, incarnation)
end
return answer
