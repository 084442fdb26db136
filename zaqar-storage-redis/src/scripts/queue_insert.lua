-- keys: queue_records queue_names
-- ARGV: name, incarnation, metadata
-- Answers: 1 if new, then the record. A record that is being deleted still holds its name.
local record = call('HGET', queue_records, ARGV[1])
if record then return {0, 0, record} end
record = struct.pack('>ddB', tonumber(ARGV[2]), 1, 0) .. ARGV[3]
call('HSET', queue_records, ARGV[1], record)
call('ZADD', queue_names, 0, ARGV[1])
return {0, 1, record}
