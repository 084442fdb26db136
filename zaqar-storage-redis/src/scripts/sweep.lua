-- keys: head claimable hidden leased delayed expiring retired sweep_due gc_due
-- lib: chunks due
-- ARGV: incarnation, now
-- Answers: rows, 1 if more is due.
local state = call('HGET', head, 'state')
if not state or tonumber(state) > 1 then
  call('ZREM', sweep_due, ARGV[1])
  return {0, 0, 0}
end
local rows, more = settle(ARGV[1], tonumber(ARGV[2]))
return {0, rows, more and 1 or 0}
