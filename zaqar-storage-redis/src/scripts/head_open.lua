-- keys: head open fence
-- ARGV: key, incarnation
-- An incarnation is taken once, whoever asks: the head of a closed one stays as its tombstone.
local f = call('HMGET', head, 'key', 'state')
if f[2] then
  if f[1] ~= ARGV[1] or tonumber(f[2]) > 1 then return {1} end
  return {0}
end
call('HSET', head, 'key', ARGV[1], 'state', 0, 'epoch', 0, 'next', 1, 'sub', 0,
  'run', call('GET', fence) or '')
call('ZADD', open, ARGV[2], ARGV[2])
return {0}
