-- What a commit changed can be read before it is on the disk; see src/mysql/durable.rs.

-- Empty after each start of the server: the one row tells one run of it from another.
CREATE TABLE IF NOT EXISTS runs (
    only_one BIGINT NOT NULL PRIMARY KEY,
    run      BIGINT NOT NULL
) ENGINE = MEMORY DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS fences (
    number BIGINT NOT NULL PRIMARY KEY,
    passed BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE heads ADD COLUMN /*M! IF NOT EXISTS */ run BIGINT NOT NULL DEFAULT 0;
