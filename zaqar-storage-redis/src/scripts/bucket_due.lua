-- keys: sweep_due gc_due outbox_due transfers_due open
-- ARGV: 'sweep', 'gc', 'outbox', 'transfers' or 'open', first and last score, limit
-- Answers the queues of the bucket where something waits.
local index = ({
  sweep = sweep_due, gc = gc_due, outbox = outbox_due, transfers = transfers_due, open = open,
})[ARGV[1]]
local answer = {0}
for _, member in ipairs(call('ZRANGEBYSCORE', index, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])) do
  answer[#answer + 1] = member
end
return answer
