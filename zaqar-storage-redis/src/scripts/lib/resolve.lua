-- The places of the messages whose ids are the arguments from one on: a number is a place of this
-- queue's own, 'f' and an id that of a message that was moved in.
local function places_from(first)
  local places = {}
  for i = first, #ARGV do
    local id = ARGV[i]
    if string.byte(id) == 102 then id = call('HGET', arrivals, string.sub(id, 2)) end
    places[i - first + 1] = id or '0'
  end
  return places
end

-- Where a message is that moved within one queue: of two of one id, the one that is not on its way
-- out is meant.
local function moved_within(incarnation, seq)
  return call('HGET', arrivals, string.format('%010x%014x', tonumber(incarnation), tonumber(seq)))
end
