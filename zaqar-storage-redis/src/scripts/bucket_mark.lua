-- keys: mark
-- ARGV: the store's name, or '' to read only
-- Each bucket bears the name of its store, so that a node that lost its data is found out.
local name = call('GET', mark)
if not name and ARGV[1] ~= '' then
  call('SET', mark, ARGV[1])
  name = ARGV[1]
end
return {0, name or ''}
