-- The catalogue is keyed by incarnation, and knows where a queue is being moved from. Nothing was
-- ever written into the former one.

DROP TABLE IF EXISTS catalogue;

CREATE TABLE IF NOT EXISTS catalogue (
    incarnation BIGINT          NOT NULL PRIMARY KEY,
    project     VARBINARY(1024) NOT NULL,
    kind        BIGINT          NOT NULL,
    name        VARBINARY(64)   NOT NULL,
    epoch       BIGINT          NOT NULL,
    pool        VARBINARY(64)   NOT NULL,
    source      VARBINARY(64),
    KEY catalogue_by_pool (pool, incarnation),
    KEY catalogue_moving (source, incarnation)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
