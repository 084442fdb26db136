-- What changes about a message, apart from its record: written by its first claim.
-- expires, ttl, ends: the message's life, and the end of its claim; flag: 0 free, 1 held, 2 parked;
-- claim: what holds it, or held it last.
local NOBODY = string.rep('\0', 16)

local function pack_state(expires, ttl, ends, count, flag, claim)
  return struct.pack('>dddI4B', expires, ttl, ends, count, flag) .. claim
end

-- The state of a message, be it written or still that of its record.
local function read_state(record, state)
  if state then
    local expires, ttl, ends, count, flag = struct.unpack('>dddI4B', state)
    return {
      expires = expires, ttl = ttl, ends = ends, count = count, flag = flag,
      claim = string.sub(state, 30), avail = 0,
    }
  end
  local expires, avail, _, ttl = struct.unpack('>dddd', record)
  return {
    expires = expires, ttl = ttl, ends = 0, count = 0, flag = 0, claim = NOBODY, avail = avail,
  }
end
