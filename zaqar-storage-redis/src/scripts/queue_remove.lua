-- keys: queue_records deleting
-- ARGV: name, incarnation, name among those being deleted
local record = call('HGET', queue_records, ARGV[1])
if not record then return {0} end
local incarnation, _, gone = struct.unpack('>ddB', record)
if incarnation ~= tonumber(ARGV[2]) or gone ~= 1 then return {0} end
call('HDEL', queue_records, ARGV[1])
call('ZREM', deleting, ARGV[3])
return {0}
