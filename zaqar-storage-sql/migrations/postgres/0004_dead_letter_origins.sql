-- Where a dead letter came from: its queue, how often and by whom it was claimed there, and when it
-- arrived. NULL: it arrived before this was kept.

ALTER TABLE arrivals
    ADD COLUMN source     text COLLATE "C",
    ADD COLUMN claims     bigint,
    ADD COLUMN last_claim bytea,
    ADD COLUMN arrived    bigint;
