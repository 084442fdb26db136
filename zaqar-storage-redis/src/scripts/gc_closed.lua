-- keys: head messages states claimable hidden leased delayed expiring retired claims claim_ends post_keys post_key_ends arrivals arrival_order origins transfers transfer_leases subscriptions subscribers subscription_order subscription_ends cursors outbox outbox_index retries retries_due retry_positions retries_next exhausted exhausted_moved graves gc_due
-- lib: chunks
-- ARGV: incarnation, rows to remove at most
-- Answers: rows. The head of a closed incarnation stays as its tombstone: it must never open again,
-- but by a later move if it was left by one.
if call('HGET', head, 'state') ~= '2' then
  call('ZREM', gc_due, ARGV[1])
  return {0, 0}
end
local rows_max, dead = tonumber(ARGV[2]), {}
for _, index in ipairs({expiring, retired}) do
  if #dead < rows_max then
    local found = call('ZPOPMIN', index, rows_max - #dead)
    for i = 1, #found, 2 do dead[#dead + 1] = found[i] end
  end
end
if #dead > 0 then
  call_all('HDEL', messages, dead)
  call_all('HDEL', states, dead)
  return {0, #dead}
end
call('UNLINK', messages, states, claimable, hidden, leased, delayed, claims, claim_ends,
  post_keys, post_key_ends, arrivals, arrival_order, origins, transfers, transfer_leases, subscriptions, subscribers,
  subscription_order, subscription_ends, cursors, outbox, outbox_index, retries, retries_due, retry_positions,
  retries_next, exhausted, exhausted_moved, graves)
call('HDEL', head, 'next', 'epoch', 'sub', 'due', 'run', 'sub_next', 'exhausted_next', 'from', 'to', 'purged')
call('HSET', head, 'state', 3)
call('ZREM', gc_due, ARGV[1])
return {0, 1}
