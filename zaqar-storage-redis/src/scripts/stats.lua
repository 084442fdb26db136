-- keys: head messages states claimable hidden leased expiring transfers
-- lib: head state walk
-- ARGV: queue, now, last position
-- Answers: living, claimed, then position and record of the oldest and of the newest ('' if none).
local h, refusal = find_head()
if not h then return refusal end
local now = tonumber(ARGV[2])
local answer = {
  0,
  call('ZCOUNT', expiring, '(' .. ARGV[2], '+inf'),
  call('ZCOUNT', leased, '(' .. ARGV[2], '+inf') + call('HLEN', transfers),
}
for _, start in ipairs({'0', ARGV[3]}) do
  local after, descending, found, n = start, start ~= '0', nil, 1
  for _ = 1, 100 do
    local places = walk(after, n, descending, true)
    n = 100
    if #places == 0 then break end
    after = places[#places]
    local records = call('HMGET', messages, unpack(places))
    local present = call('HMGET', states, unpack(places))
    for i = 1, #places do
      if read_state(records[i], present[i]).expires > now then
        found = i
        answer[#answer + 1] = places[i]
        answer[#answer + 1] = records[i]
        break
      end
    end
    if found then break end
  end
  if not found then
    answer[#answer + 1] = ''
    answer[#answer + 1] = ''
  end
end
return answer
