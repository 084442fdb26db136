-- keys: store incarnations data_buckets control_buckets
-- ARGV: a fresh name for the store, the format that it would have
-- Answers: the store's name, its format, 1 if it once lacked a name though it held data.
local f = call('HMGET', store, 'name', 'format', 'lost')
if f[1] then return {0, f[1], f[2], f[3] and 1 or 0} end
local holds = call('EXISTS', incarnations, data_buckets, control_buckets) > 0
call('HSET', store, 'name', ARGV[1], 'format', ARGV[2])
if holds then call('HSET', store, 'lost', 1) end
return {0, ARGV[1], ARGV[2], holds and 1 or 0}
