-- keys: queue_records queue_names deleting
-- ARGV: name, incarnation, name among those being deleted
local record = call('HGET', queue_records, ARGV[1])
if not record then return {0} end
local incarnation, revision, gone = struct.unpack('>ddB', record)
if incarnation ~= tonumber(ARGV[2]) or gone == 1 then return {0} end
call('HSET', queue_records, ARGV[1], struct.pack('>ddB', incarnation, revision, 1) .. string.sub(record, 18))
call('ZREM', queue_names, ARGV[1])
call('ZADD', deleting, incarnation, ARGV[3])
return {0}
