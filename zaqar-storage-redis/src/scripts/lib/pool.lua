-- A pool is an array: weight, uri, tag of its flavor ('n': none), options, capabilities.
local WEIGHT, URI, TAG, OPTIONS, CAPABILITIES = 1, 2, 3, 4, 5

local function load(name)
  local packed = call('HGET', pools, name)
  return packed and cmsgpack.unpack(packed)
end

local function show(answer, name)
  local pool = load(name)
  if pool then
    answer[#answer + 1] = name
    for i = 1, 5 do answer[#answer + 1] = pool[i] end
  end
end
