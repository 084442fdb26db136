-- keys: pools pool_names pool_flavors
-- lib: pool
-- ARGV: 'one', a name; or 'all', name to start after or '', limit; or 'flavor', its tag
local answer = {0}
if ARGV[1] == 'one' then
  show(answer, ARGV[2])
elseif ARGV[1] == 'all' then
  local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
  for _, name in ipairs(call('ZRANGEBYLEX', pool_names, from, '+', 'LIMIT', 0, ARGV[3])) do
    show(answer, name)
  end
else
  local from, to = '[' .. ARGV[2] .. ' ', '(' .. ARGV[2] .. '!'
  for _, member in ipairs(call('ZRANGEBYLEX', pool_flavors, from, to)) do
    show(answer, string.sub(member, #ARGV[2] + 2))
  end
end
return answer
