-- keys: head messages states claimable hidden leased claims
-- lib: head state walk moving part
-- ARGV: queue, now
-- Answers first place and end of the part, then of each living message: position, record, state, 1 if it
-- is held, ttl and start of the claim.
local h, refusal = find_head_of_move()
if not h then return refusal end
return show_part(h, tonumber(ARGV[2]))
