-- keys: head claimable leased delayed expiring arrivals
-- lib: head
-- ARGV: queue, now, then the ids that markers of other incarnations stand for
-- Answers: the highest place that can be had now, 0 for none; then the place of each id. Lives are told
-- by their index alone: no message is read.
local h, refusal = find_head()
if not h then return refusal end
local now, highest = tonumber(ARGV[2]), 0
local STEP, STEPS_MAX = 100, 10
-- More was due than one look goes through: those who wait look for themselves, and that settles it.
local ENDLESS = 9007199254740991

local function look_at(places)
  local lives = call('ZMSCORE', expiring, unpack(places))
  for i = 1, #places do
    if lives[i] and tonumber(lives[i]) > now then highest = math.max(highest, tonumber(places[i])) end
  end
end

for step = 1, STEPS_MAX + 1 do
  local first = (step - 1) * STEP
  local places = call('ZREVRANGE', claimable, first, first + STEP - 1)
  if #places > 0 then look_at(places) end
  if highest > 0 or #places < STEP then break end
  if step > STEPS_MAX then highest = ENDLESS end
end
-- What has matured counts, be it released yet or not.
if h.due <= now then
  for _, index in ipairs({leased, delayed}) do
    local due = call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, STEP * STEPS_MAX)
    if #due > 0 then look_at(due) end
    if #due == STEP * STEPS_MAX then highest = ENDLESS end
  end
end

local answer = {0, highest}
for i = 3, #ARGV do answer[i] = call('HGET', arrivals, ARGV[i]) or 0 end
return answer
