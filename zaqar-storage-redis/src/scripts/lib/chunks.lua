-- Calls a command with many arguments in pieces that fit Lua's stack.
local function call_all(command, key, arguments)
  local n = #arguments
  if n == 0 then return end
  for i = 1, n, 4000 do
    call(command, key, unpack(arguments, i, math.min(i + 3999, n)))
  end
end
