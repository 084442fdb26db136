-- A queue moves from store to store while it is in use; see src/postgres/moving.rs.

ALTER TABLE heads
    ADD COLUMN frozen_from bigint  NOT NULL DEFAULT 0,
    ADD COLUMN frozen_to   bigint  NOT NULL DEFAULT 0,
    ADD COLUMN away        boolean NOT NULL DEFAULT false;

-- What an earlier version moved gave away nothing yet.
UPDATE heads SET frozen_from = next, frozen_to = next WHERE state = 1;

ALTER TABLE messages ADD COLUMN frozen boolean;

CREATE INDEX exhausted_by_message ON exhausted (queue, message);
