-- keys: queue_records
-- ARGV: name, incarnation, revision, metadata
-- Answers 6: no active record of that incarnation; 3: another revision is stored.
local record = call('HGET', queue_records, ARGV[1])
if not record then return {6} end
local incarnation, revision, deleting = struct.unpack('>ddB', record)
if incarnation ~= tonumber(ARGV[2]) or deleting == 1 then return {6} end
if revision ~= tonumber(ARGV[3]) then return {3} end
record = struct.pack('>ddB', incarnation, revision + 1, 0) .. ARGV[4]
call('HSET', queue_records, ARGV[1], record)
return {0, record}
