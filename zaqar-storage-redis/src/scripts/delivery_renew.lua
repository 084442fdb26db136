-- keys: head subscriptions
-- lib: head subscription
-- ARGV: queue, now, number, lease, its new end
-- Answers 6: the lease is over or another's.
local h, refusal = find_head()
if not h then return refusal end
local now = tonumber(ARGV[2])
local s = load(ARGV[3])
if not s or s[ENDS] <= now or s[LEASE] ~= ARGV[4] or s[LEASE_ENDS] <= now then return {6} end
s[LEASE_ENDS] = tonumber(ARGV[5])
call('HSET', subscriptions, ARGV[3], cmsgpack.pack(s))
return {0}
