-- keys: head messages states claimable hidden leased delayed arrivals
-- lib: head state walk
-- ARGV: queue, now, marker, limit, 1 if descending, 1 with claimed, 1 with delayed, client or '',
--   rows that one step may examine, bytes of records that it may read
-- Answers: where to go on ('' at the end), then position, record and state of each message; 8: what
-- has matured must be released first, lest it be stepped over.
local h, refusal = find_head()
if not h then return refusal end
local now, after, limit = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local descending = ARGV[5] == '1'
local with_claimed, with_delayed = ARGV[6] == '1', ARGV[7] == '1'
local whole = with_claimed or with_delayed
if not whole and h.due <= now then
  for _, index in ipairs({leased, delayed}) do
    local first = call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
    if first and tonumber(first) <= now then return {8} end
  end
end
if string.sub(after, 1, 1) == 'f' then
  after = call('HGET', arrivals, string.sub(after, 2)) or '0'
end

local answer, found, examined, examined_max = {0, ''}, 0, 0, tonumber(ARGV[9])
local bytes, bytes_max = 0, tonumber(ARGV[10])
while found < limit do
  if examined >= examined_max or bytes >= bytes_max then
    answer[2] = after
    break
  end
  local n = math.min(1000, math.max(limit - found, 20))
  local places = walk(after, n, descending, whole)
  if #places == 0 then break end
  examined = examined + #places
  local records = call('HMGET', messages, unpack(places))
  local present = call('HMGET', states, unpack(places))
  for i = 1, #places do
    if found == limit then break end
    after, bytes = places[i], bytes + #records[i]
    local s = read_state(records[i], present[i])
    local claimed = s.flag == 2 or (s.flag == 1 and s.ends > now)
    local wanted = s.expires > now and (with_claimed or not claimed)
      and (with_delayed or s.avail <= now)
    if wanted and ARGV[8] ~= '' then
      local length = struct.unpack('>H', records[i], 33)
      wanted = string.sub(records[i], 39, 38 + length) ~= ARGV[8]
    end
    if wanted then
      found = found + 1
      answer[#answer + 1] = places[i]
      answer[#answer + 1] = records[i]
      answer[#answer + 1] = present[i] or ''
    end
  end
end
return answer
