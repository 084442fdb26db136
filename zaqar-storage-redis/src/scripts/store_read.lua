-- keys: store incarnations data_buckets control_buckets
-- Answers: the store's name or '', 1 if it lost data, the last incarnation, the buckets in use.
local f = call('HMGET', store, 'name', 'lost')
return {
  0, f[1] or '', f[2] and 1 or 0, call('GET', incarnations) or '0',
  call('GET', data_buckets) or '', call('GET', control_buckets) or '',
}
