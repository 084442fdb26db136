-- A queue moves from store to store while it is in use; see src/mysql/moving.rs.

ALTER TABLE heads
    ADD COLUMN /*M! IF NOT EXISTS */ frozen_from BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ frozen_to   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ away        BIGINT NOT NULL DEFAULT 0;
