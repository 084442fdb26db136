-- Both planes. The data plane is drawn and explained in src/postgres/tables.rs; every index says
-- there what it serves. Names and client texts compare bytewise: COLLATE "C".
-- Queue-like tables are vacuumed early: a claim or a delete leaves a dead row each.

CREATE TABLE store (
    one   bigint PRIMARY KEY CHECK (one = 1),
    uuid  text   NOT NULL,
    epoch bigint NOT NULL
);

INSERT INTO store (one, uuid, epoch) VALUES (1, gen_random_uuid()::text, 0);

CREATE TABLE heads (
    number            bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incarnation       bigint  NOT NULL UNIQUE,
    state             bigint  NOT NULL DEFAULT 0,
    kind              bigint  NOT NULL,
    epoch             bigint  NOT NULL DEFAULT 0,
    next              bigint  NOT NULL DEFAULT 1,
    purged            bigint  NOT NULL DEFAULT 0,
    reclaimed         bigint  NOT NULL DEFAULT 0,
    subscription_next bigint  NOT NULL DEFAULT 1,
    exhausted_next    bigint  NOT NULL DEFAULT 1,
    subscribed        boolean NOT NULL DEFAULT false,
    project           text    COLLATE "C" NOT NULL,
    name              text    COLLATE "C" NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX heads_to_reclaim ON heads (number) WHERE state = 2 OR purged > reclaimed;

CREATE TABLE releases (
    queue bigint PRIMARY KEY,
    count bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE messages (
    id      bigint PRIMARY KEY,
    queue   bigint NOT NULL,
    avail   bigint NOT NULL,
    expires bigint NOT NULL,
    ttl     bigint NOT NULL,
    posted  bigint NOT NULL,
    claims  bigint NOT NULL,
    claim   bytea,
    client  text   COLLATE "C",
    origin  text   COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.2);

CREATE INDEX claimable ON messages ((id + 0)) WHERE avail = 0;
CREATE INDEX maturing ON messages (queue, avail) WHERE avail > 0;
CREATE INDEX expiring ON messages (queue, expires) WHERE expires > 0;
CREATE INDEX retired ON messages (expires) WHERE expires < 0;

CREATE TABLE bodies (
    id       bigint PRIMARY KEY,
    body     text   NOT NULL,
    checksum text
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);

CREATE TABLE claims (
    queue    bigint   NOT NULL,
    id       bytea    NOT NULL,
    ttl      bigint   NOT NULL,
    started  bigint   NOT NULL,
    ends     bigint   NOT NULL,
    messages bigint[] NOT NULL,
    PRIMARY KEY (queue, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX claims_by_end ON claims (ends);

CREATE TABLE post_keys (
    queue   bigint NOT NULL,
    first   bigint NOT NULL,
    count   bigint NOT NULL,
    expires bigint NOT NULL,
    digest  bytea  NOT NULL,
    key     text   COLLATE "C" NOT NULL,
    PRIMARY KEY (queue, key)
);

CREATE INDEX post_keys_by_end ON post_keys (expires);

CREATE TABLE arrivals (
    queue  bigint NOT NULL,
    id     bigint NOT NULL,
    origin text   COLLATE "C" NOT NULL,
    PRIMARY KEY (queue, origin)
);

CREATE TABLE transfers (
    id         bigint PRIMARY KEY,
    queue      bigint NOT NULL,
    ttl        bigint NOT NULL,
    lease_ends bigint NOT NULL DEFAULT 0,
    target     text   COLLATE "C" NOT NULL,
    lease      bytea
);

CREATE INDEX transfers_by_queue ON transfers (queue);

CREATE TABLE subscriptions (
    queue              bigint  NOT NULL,
    number             bigint  NOT NULL,
    ttl                bigint  NOT NULL,
    created            bigint  NOT NULL,
    expires            bigint  NOT NULL,
    since              bigint  NOT NULL,
    cursor             bigint  NOT NULL,
    lease_ends         bigint  NOT NULL DEFAULT 0,
    confirmed          boolean NOT NULL DEFAULT false,
    needs_confirmation boolean NOT NULL,
    subscriber         text    COLLATE "C" NOT NULL,
    options            text    NOT NULL,
    owner              text    COLLATE "C",
    lease              bytea,
    PRIMARY KEY (queue, number)
);

CREATE INDEX subscriptions_by_subscriber ON subscriptions USING hash (subscriber);
CREATE INDEX subscriptions_by_end ON subscriptions (expires);

CREATE TABLE outbox (
    id      bigint PRIMARY KEY,
    queue   bigint NOT NULL,
    last    bigint NOT NULL,
    payload text   NOT NULL
);

CREATE INDEX outbox_by_queue ON outbox (queue, last);

CREATE TABLE retries (
    queue        bigint NOT NULL,
    subscription bigint NOT NULL,
    position     bigint NOT NULL,
    attempts     bigint NOT NULL,
    not_before   bigint NOT NULL,
    PRIMARY KEY (queue, subscription, position)
);

CREATE INDEX retries_by_moment ON retries (queue, subscription, not_before);
CREATE INDEX retries_by_position ON retries (queue, position);

CREATE TABLE exhausted (
    queue      bigint NOT NULL,
    number     bigint NOT NULL,
    attempts   bigint NOT NULL,
    at         bigint NOT NULL,
    message    text   NOT NULL,
    subscriber text   NOT NULL,
    reason     text   NOT NULL,
    PRIMARY KEY (queue, number)
);

CREATE TABLE incarnations (
    one  bigint PRIMARY KEY CHECK (one = 1),
    next bigint NOT NULL
);

INSERT INTO incarnations (one, next) VALUES (1, 1);

CREATE TABLE queues (
    kind        bigint  NOT NULL,
    incarnation bigint  NOT NULL,
    revision    bigint  NOT NULL,
    deleting    boolean NOT NULL,
    project     text    COLLATE "C" NOT NULL,
    name        text    COLLATE "C" NOT NULL,
    metadata    text    NOT NULL,
    PRIMARY KEY (project, kind, name)
);

CREATE INDEX queues_deleting ON queues (incarnation) WHERE deleting;

CREATE TABLE pools (
    weight       bigint NOT NULL,
    name         text   COLLATE "C" PRIMARY KEY,
    uri          text   COLLATE "C" NOT NULL UNIQUE,
    flavor       text   COLLATE "C",
    options      text   NOT NULL,
    capabilities text   NOT NULL
);

CREATE TABLE flavors (
    project      text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    capabilities text NOT NULL,
    PRIMARY KEY (project, name)
);

CREATE TABLE catalogue (
    kind    bigint NOT NULL,
    epoch   bigint NOT NULL,
    project text   COLLATE "C" NOT NULL,
    name    text   COLLATE "C" NOT NULL,
    pool    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (project, kind, name)
);

CREATE INDEX catalogue_by_pool ON catalogue (pool, project, kind, name);
