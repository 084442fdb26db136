-- Where a dead letter came from: its queue, how often and by whom it was claimed there, and when it
-- arrived. NULL: it arrived before this was kept.

ALTER TABLE arrivals
    ADD COLUMN /*M! IF NOT EXISTS */ source     VARBINARY(64),
    ADD COLUMN /*M! IF NOT EXISTS */ claims     BIGINT,
    ADD COLUMN /*M! IF NOT EXISTS */ last_claim BINARY(16),
    ADD COLUMN /*M! IF NOT EXISTS */ arrived    BIGINT;

-- The last claim of a message that nobody holds; written when the claim ends.
ALTER TABLE messages
    ADD COLUMN /*M! IF NOT EXISTS */ last_claim BINARY(16);
