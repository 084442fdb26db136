-- Subscriptions, and the outbox of what is still to be delivered to them.
-- Drawn and explained in src/sqlite/tables.rs.

CREATE TABLE subscriptions (
    queue              INTEGER NOT NULL,
    number             INTEGER NOT NULL,
    subscriber         TEXT    NOT NULL,
    ttl                INTEGER NOT NULL,
    created            INTEGER NOT NULL,
    expires            INTEGER NOT NULL,
    options            TEXT    NOT NULL,
    confirmed          INTEGER NOT NULL,
    needs_confirmation INTEGER NOT NULL,
    since              INTEGER NOT NULL,
    cursor             INTEGER NOT NULL,
    owner              TEXT,
    lease              BLOB,
    lease_ends         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX subscriptions_by_subscriber ON subscriptions (queue, subscriber);
CREATE INDEX subscriptions_by_end ON subscriptions (expires);

CREATE TABLE outbox (
    id      INTEGER PRIMARY KEY,
    queue   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    payload TEXT    NOT NULL
) STRICT;

CREATE INDEX outbox_by_queue ON outbox (queue, last);

CREATE TABLE retries (
    queue        INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    PRIMARY KEY (queue, subscription, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX retries_by_moment ON retries (queue, subscription, not_before);
CREATE INDEX retries_by_position ON retries (queue, position);

CREATE TABLE exhausted (
    queue      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    subscriber TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (queue, number)
) STRICT, WITHOUT ROWID;
