-- keys: head messages states claimable hidden leased delayed expiring arrivals
-- lib: head chunks resolve remove
-- ARGV: queue, now, incarnation, rule, number of claims, the claims, then the ids
-- Rules: 'free' and 'held' are of one message; 'any' and 'all' of many. Answers 7 with the number of
-- the id that breaks the rule, and how: 0 claimed, 1 not claimed, 2 claimed by another.
local h, refusal = find_head()
if not h then return refusal end
local now, incarnation, rule, claims = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local named = {}
for i = 1, claims do named[ARGV[5 + i]] = true end
local places = places_from(6 + claims)
if #places == 0 then return {0} end
-- What expired is in no index of the living, so a place without an end of life is not there.
local lives = call('ZMSCORE', expiring, unpack(places))
local present = call('HMGET', states, unpack(places))
local under = call('ZMSCORE', leased, unpack(places))

-- Everything is decided before anything is removed.
local free, held, seen = {}, {}, {}
for i = 1, #places do
  local seq, life, state, lease = places[i], lives[i], present[i], under[i]
  if not life or (state and string.byte(state, 29) == 2) then
    local other = moved_within(incarnation, seq)
    local found = other and call('ZSCORE', expiring, other)
    if found then
      seq, life, state = other, found, call('HGET', states, other)
      lease = call('ZSCORE', leased, other)
    end
  end
  if life and not seen[seq] and tonumber(life) > now then
    seen[seq] = true
    local ends, flag, claim = 0, 0, nil
    if state then
      local _
      ends, _, flag = struct.unpack('>dI4B', state, 17)
      claim = string.sub(state, 30)
    end
    -- What is not in the index of leases is claimable, whatever its state still says.
    local parked, leases = flag == 2, flag == 1 and lease and ends > now
    -- A parked message belongs to the dead-letter queue already, and many are deleted without it.
    local passed_over = parked and (rule == 'any' or rule == 'all')
    if not passed_over and on_its_way(h, seq) then return {10} end
    local broken
    if rule == 'free' then
      if parked or leases then broken = 0 end
    elseif rule == 'held' or (rule == 'all' and not parked) then
      if not leases then broken = 1 elseif not named[claim] then broken = 2 end
    end
    if broken then return {7, i - 1, broken} end
    if leases then
      held[#held + 1] = seq
    elseif not parked then
      free[#free + 1] = seq
    end
  end
end
remove_free(free)
remove_held(held)
return {0}
