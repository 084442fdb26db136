-- The next places that can be had, in order, some of them passed over. What is on its way is not
-- overtaken: nothing behind its beginning can be had.
local function takeable(h, offset, n)
  if h.from >= h.to then return call('ZRANGE', claimable, offset, offset + n - 1) end
  local first = string.format('(%.0f', h.from)
  return call('ZRANGEBYSCORE', claimable, '-inf', first, 'LIMIT', offset, n)
end
