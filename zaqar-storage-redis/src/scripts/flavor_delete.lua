-- keys: flavors flavor_names
-- ARGV: member, or '' for all
if ARGV[1] == '' then
  call('UNLINK', flavors, flavor_names)
else
  call('ZREM', flavor_names, ARGV[1])
  call('HDEL', flavors, ARGV[1])
end
return {0}
