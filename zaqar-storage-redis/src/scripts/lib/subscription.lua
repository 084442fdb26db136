-- A subscription is an array: subscriber, ttl, made, end, options, confirmed, needs confirmation,
-- since, cursor, owner or false, lease, end of the lease, lane.
local SUBSCRIBER, TTL, MADE, ENDS, OPTIONS, CONFIRMED, NEEDS = 1, 2, 3, 4, 5, 6, 7
local SINCE, CURSOR, OWNER, LEASE, LEASE_ENDS, LANE = 8, 9, 10, 11, 12, 13
local RETRIES_MAX = 1000

local function load(number)
  local packed = call('HGET', subscriptions, number)
  return packed and cmsgpack.unpack(packed)
end

local function is_active(s) return s[CONFIRMED] or not s[NEEDS] end

-- What a caller is shown of it.
local function show(answer, number, s)
  local fields = {
    number, s[SUBSCRIBER], s[TTL], s[MADE], s[ENDS], s[OPTIONS], s[CONFIRMED] and 1 or 0,
    s[NEEDS] and 1 or 0, s[SINCE], s[OWNER] and 1 or 0, s[OWNER] or '',
  }
  for i = 1, #fields do answer[#answer + 1] = fields[i] end
end
