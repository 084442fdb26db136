-- keys: data_buckets control_buckets
-- ARGV: 'data' or 'control', the bucket
call('SETBIT', ARGV[1] == 'data' and data_buckets or control_buckets, ARGV[2], 1)
return {0}
