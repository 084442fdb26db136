-- The data plane: queue heads, messages, claims, idempotency keys, dead letters.
-- Drawn and explained in src/sqlite/tables.rs; every index says there what it serves.

CREATE TABLE heads (
    number            INTEGER PRIMARY KEY AUTOINCREMENT,
    incarnation       INTEGER NOT NULL UNIQUE,
    project           TEXT    NOT NULL,
    kind              INTEGER NOT NULL,
    name              TEXT    NOT NULL,
    state             INTEGER NOT NULL,
    epoch             INTEGER NOT NULL DEFAULT 0,
    next              INTEGER NOT NULL DEFAULT 1,
    purged            INTEGER NOT NULL DEFAULT 0,
    reclaimed         INTEGER NOT NULL DEFAULT 0,
    subscribed        INTEGER NOT NULL DEFAULT 0,
    subscription_next INTEGER NOT NULL DEFAULT 1,
    exhausted_next    INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE INDEX heads_to_reclaim ON heads (number) WHERE state = 2 OR purged > reclaimed;

CREATE TABLE messages (
    id      INTEGER PRIMARY KEY,
    queue   INTEGER NOT NULL,
    avail   INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    ttl     INTEGER NOT NULL,
    posted  INTEGER NOT NULL,
    claims  INTEGER NOT NULL,
    claim   BLOB,
    client  TEXT,
    origin  TEXT
) STRICT;

CREATE INDEX claimable ON messages (queue) WHERE avail = 0;
CREATE INDEX maturing ON messages (queue, avail) WHERE avail > 0;
CREATE INDEX expiring ON messages (queue, expires) WHERE expires > 0;
CREATE INDEX retired ON messages (expires) WHERE expires < 0;

CREATE TABLE bodies (
    id       INTEGER PRIMARY KEY,
    body     TEXT NOT NULL,
    checksum TEXT
) STRICT;

CREATE TABLE claims (
    queue    INTEGER NOT NULL,
    id       BLOB    NOT NULL,
    ttl      INTEGER NOT NULL,
    started  INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    messages TEXT    NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX claims_by_end ON claims (ends);

CREATE TABLE post_keys (
    queue   INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    digest  BLOB    NOT NULL,
    first   INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX post_keys_by_end ON post_keys (expires);

CREATE TABLE arrivals (
    queue  INTEGER NOT NULL,
    origin TEXT    NOT NULL,
    id     INTEGER NOT NULL,
    PRIMARY KEY (queue, origin)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfers (
    id         INTEGER PRIMARY KEY,
    queue      INTEGER NOT NULL,
    target     TEXT    NOT NULL,
    ttl        INTEGER NOT NULL,
    lease      BLOB,
    lease_ends INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX transfers_by_lease ON transfers (lease_ends);
