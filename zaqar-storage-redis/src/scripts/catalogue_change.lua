-- keys: catalogue catalogue_pools catalogue_moving
-- ARGV: member, 'put', 'move' or 'settle', epoch, tag of the pool, pool, queue
-- An entry is {tag of the pool, pool, epoch, queue, pool it is moved out of or ''}.
-- Answers 6: it is not there; 2 and the stored epoch: it is mapped otherwise.
local member, change, epoch = ARGV[1], ARGV[2], ARGV[3]
local packed = call('HGET', catalogue, member)
local entry = packed and cmsgpack.unpack(packed)
if change == 'put' then
  if entry then
    if entry[2] == ARGV[5] and entry[3] == epoch then return {0} end
    return {2, entry[3]}
  end
  entry = {ARGV[4], ARGV[5], epoch, ARGV[6], ''}
  call('ZADD', catalogue_pools, 0, entry[1] .. member)
elseif not entry then
  return {6}
elseif change == 'move' then
  if tonumber(entry[3]) >= tonumber(epoch) or entry[5] ~= '' then return {2, entry[3]} end
  call('ZREM', catalogue_pools, entry[1] .. member)
  entry = {ARGV[4], ARGV[5], epoch, entry[4], entry[2]}
  call('ZADD', catalogue_pools, 0, entry[1] .. member)
  call('ZADD', catalogue_moving, 0, member)
else
  if entry[3] ~= epoch then return {2, entry[3]} end
  entry[5] = ''
  call('ZREM', catalogue_moving, member)
end
call('HSET', catalogue, member, cmsgpack.pack(entry))
return {0}
