-- keys: head open fence
-- lib: head
-- ARGV: queue, incarnation
-- An incarnation is taken once, whoever asks: the head of a closed one stays as its tombstone.
local known, key = caller()
local f = call('HMGET', head, 'key', 'state', 'epoch')
if f[2] then
  if f[1] ~= key or tonumber(f[2]) > 1 then return {1} end
  if tonumber(f[3]) > known then return {2, f[3]} end
  return {0}
end
call('HSET', head, 'key', key, 'state', 0, 'epoch', 0, 'next', 1, 'sub', 0,
  'run', call('GET', fence) or '')
call('ZADD', open, ARGV[2], ARGV[2])
return {0}
