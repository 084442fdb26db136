-- Where a dead letter came from: its queue, how often and by whom it was claimed there, and when it
-- arrived. NULL: it arrived before this was kept.

ALTER TABLE arrivals ADD COLUMN source     TEXT;
ALTER TABLE arrivals ADD COLUMN claims     INTEGER;
ALTER TABLE arrivals ADD COLUMN last_claim BLOB;
ALTER TABLE arrivals ADD COLUMN arrived    INTEGER;
