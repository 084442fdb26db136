-- Removes messages from everything that they can be in.
local function remove_rest(ids)
  call_all('ZREM', expiring, ids)
  call_all('HDEL', states, ids)
  call_all('HDEL', messages, ids)
end

-- What is under a claim.
local function remove_held(ids)
  call_all('ZREM', hidden, ids)
  call_all('ZREM', leased, ids)
  remove_rest(ids)
end

-- What is claimable, or is so by time and not yet known to be: a claim or a delay ended; or delayed.
local function remove_free(ids)
  if #ids == 0 then return end
  if call('ZREM', claimable, unpack(ids)) == #ids then return remove_rest(ids) end
  call_all('ZREM', delayed, ids)
  remove_held(ids)
end
