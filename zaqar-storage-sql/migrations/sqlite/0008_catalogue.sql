-- The catalogue is keyed by incarnation, and knows where a queue is being moved from. Nothing was
-- ever written into the former one.

DROP TABLE catalogue;

CREATE TABLE catalogue (
    incarnation INTEGER NOT NULL PRIMARY KEY,
    project     TEXT    NOT NULL,
    kind        INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    pool        TEXT    NOT NULL,
    source      TEXT,
    epoch       INTEGER NOT NULL
) STRICT;

CREATE INDEX catalogue_by_pool ON catalogue (pool, incarnation);
CREATE INDEX catalogue_moving ON catalogue (incarnation) WHERE source IS NOT NULL;
