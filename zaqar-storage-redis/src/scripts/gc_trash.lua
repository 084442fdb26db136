-- keys: trash_messages trash_expiring trash_retired gc_due
-- lib: chunks
-- ARGV: name of the trash, rows to remove at most
local rows_max, dead = tonumber(ARGV[2]), {}
for _, index in ipairs({trash_expiring, trash_retired}) do
  if #dead < rows_max then
    local found = call('ZPOPMIN', index, rows_max - #dead)
    for i = 1, #found, 2 do dead[#dead + 1] = found[i] end
  end
end
if #dead > 0 then
  call_all('HDEL', trash_messages, dead)
  return {0, #dead}
end
call('UNLINK', trash_messages)
call('ZREM', gc_due, 't' .. ARGV[1])
return {0, 0}
