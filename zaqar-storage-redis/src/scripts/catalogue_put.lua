-- keys: catalogue catalogue_names catalogue_pools
-- ARGV: member, tag of the pool, pool, epoch, 1 if it must be there with a lower epoch
-- Answers 6: it is not there; 2 and the stored epoch: that is not lower.
local packed = call('HGET', catalogue, ARGV[1])
local before = packed and cmsgpack.unpack(packed)
if ARGV[5] == '1' then
  if not before then return {6} end
  if tonumber(before[3]) >= tonumber(ARGV[4]) then return {2, before[3]} end
end
if before then call('ZREM', catalogue_pools, before[1] .. ARGV[1]) end
call('HSET', catalogue, ARGV[1], cmsgpack.pack({ARGV[2], ARGV[3], ARGV[4]}))
call('ZADD', catalogue_names, 0, ARGV[1])
call('ZADD', catalogue_pools, 0, ARGV[2] .. ARGV[1])
return {0}
