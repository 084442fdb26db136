-- A queue moves from store to store while it is in use; see src/sqlite/moving.rs.

ALTER TABLE heads ADD COLUMN frozen_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE heads ADD COLUMN frozen_to   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE heads ADD COLUMN away        INTEGER NOT NULL DEFAULT 0;

-- What an earlier version moved gave away nothing yet.
UPDATE heads SET frozen_from = next, frozen_to = next WHERE state = 1;

CREATE INDEX exhausted_by_message ON exhausted (queue, message);
