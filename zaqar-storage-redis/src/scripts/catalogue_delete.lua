-- keys: catalogue catalogue_names catalogue_pools
-- ARGV: member, or '' for all
if ARGV[1] == '' then
  call('UNLINK', catalogue, catalogue_names, catalogue_pools)
  return {0}
end
local packed = call('HGET', catalogue, ARGV[1])
if not packed then return {0} end
call('ZREM', catalogue_pools, cmsgpack.unpack(packed)[1] .. ARGV[1])
call('ZREM', catalogue_names, ARGV[1])
call('HDEL', catalogue, ARGV[1])
return {0}
