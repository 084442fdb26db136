-- keys: head messages states claimable hidden leased delayed expiring retired transfers transfer_leases trash_messages trash_expiring trash_retired gc_due transfers_due
-- lib: head
-- ARGV: queue, incarnation, name of the trash
-- What was posted so far is put aside under another name at once, for the collection to remove; what a
-- move brings of it later is left out.
local h, refusal = find_head()
if not h then return refusal end
call('UNLINK', states, claimable, hidden, leased, delayed, transfers, transfer_leases)
for from, to in pairs({
  [messages] = trash_messages, [expiring] = trash_expiring, [retired] = trash_retired,
}) do
  if call('EXISTS', from) == 1 then call('RENAME', from, to) end
end
call('HSET', head, 'purged', h.next)
call('ZREM', transfers_due, ARGV[2])
call('ZADD', gc_due, 0, 't' .. ARGV[3])
return {0}
