-- Steps of a move: 11 means that the head takes posts still.

-- The head of exactly the move that the caller names.
local function find_head_of_move()
  local h, refusal = any_head()
  if h and tonumber(h.epoch) ~= h.known then return nil, {2, h.epoch} end
  return h, refusal
end

-- As find_head_of_move, at the end that the move leads away from.
local function find_source()
  local h, refusal = find_head_of_move()
  if h and not h.moved then return nil, {11} end
  return h, refusal
end

local function text_of(place) return string.format('%.0f', place) end

-- Sets where what is on its way begins or ends. The first write is one that a full server takes: what
-- moves away makes room.
local function set_bound(bound, place)
  call('HDEL', head, bound)
  call('HSET', head, bound, text_of(place))
end
