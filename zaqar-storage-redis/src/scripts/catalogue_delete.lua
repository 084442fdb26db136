-- keys: catalogue catalogue_pools catalogue_moving
-- ARGV: member
local packed = call('HGET', catalogue, ARGV[1])
if not packed then return {0} end
call('ZREM', catalogue_pools, cmsgpack.unpack(packed)[1] .. ARGV[1])
call('ZREM', catalogue_moving, ARGV[1])
call('HDEL', catalogue, ARGV[1])
return {0}
