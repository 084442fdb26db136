-- keys: flavors flavor_names
-- ARGV: member, capabilities, 1 if it must be there
-- Answers 6: it is not there.
if ARGV[3] == '1' and call('HEXISTS', flavors, ARGV[1]) == 0 then return {6} end
call('HSET', flavors, ARGV[1], ARGV[2])
call('ZADD', flavor_names, 0, ARGV[1])
return {0}
