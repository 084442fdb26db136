-- A claim's record: ttl, start, end, the name of the call that it answered last, its messages.
-- What a claim holds at this moment, of the messages that its record lists: ids, records, states. The
-- index decides: a caller whose clock is ahead, or who was faster, may have put right already what is
-- not over at this caller's moment, and that leaves the state as it was.
local function held_by(id, record, now)
  local listed = {}
  for seq in string.gmatch(string.sub(record, 41), '[^,]+') do listed[#listed + 1] = seq end
  local ids, records, states_of = {}, {}, {}
  if #listed == 0 then return ids, records, states_of end
  local r = call('HMGET', messages, unpack(listed))
  local s = call('HMGET', states, unpack(listed))
  local under = call('ZMSCORE', leased, unpack(listed))
  for i = 1, #listed do
    if r[i] and s[i] and under[i] then
      local state = read_state(r[i], s[i])
      if state.flag == 1 and state.claim == id and state.ends > now and state.expires > now then
        ids[#ids + 1] = listed[i]
        records[#records + 1] = r[i]
        states_of[#states_of + 1] = state
      end
    end
  end
  return ids, records, states_of
end
