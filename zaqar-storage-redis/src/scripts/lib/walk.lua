-- The next places of the queue in either direction, claimed and delayed ones among them if asked.
local function walk(after, n, descending, whole)
  local command, from, to = 'ZRANGEBYSCORE', '(' .. after, '+inf'
  if descending then command, to = 'ZREVRANGEBYSCORE', '-inf' end
  local a = call(command, claimable, from, to, 'LIMIT', 0, n)
  if not whole then return a end
  local b = call(command, hidden, from, to, 'LIMIT', 0, n)
  local places, i, j = {}, 1, 1
  while #places < n and (a[i] or b[j]) do
    local first = a[i] and (not b[j] or (tonumber(a[i]) < tonumber(b[j])) ~= descending)
    if first then
      places[#places + 1], i = a[i], i + 1
    else
      places[#places + 1], j = b[j], j + 1
    end
  end
  return places
end
