-- The catalogue is keyed by incarnation, and knows where a queue is being moved from. Nothing was
-- ever written into the former one.

DROP TABLE catalogue;

CREATE TABLE catalogue (
    incarnation bigint NOT NULL PRIMARY KEY,
    kind        bigint NOT NULL,
    epoch       bigint NOT NULL,
    project     text   COLLATE "C" NOT NULL,
    name        text   COLLATE "C" NOT NULL,
    pool        text   COLLATE "C" NOT NULL,
    source      text   COLLATE "C"
);

CREATE INDEX catalogue_by_pool ON catalogue (pool, incarnation);
CREATE INDEX catalogue_moving ON catalogue (incarnation) WHERE source IS NOT NULL;
