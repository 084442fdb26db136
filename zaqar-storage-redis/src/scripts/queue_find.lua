-- keys: queue_records
-- ARGV: name
local record = call('HGET', queue_records, ARGV[1])
if not record then return {6} end
return {0, record}
