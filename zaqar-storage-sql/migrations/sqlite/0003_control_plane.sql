-- The control plane: queues and topics, pools, flavors, the catalogue.

CREATE TABLE incarnations (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    next INTEGER NOT NULL
) STRICT;

INSERT INTO incarnations (only, next) VALUES (1, 1);

CREATE TABLE queues (
    project     TEXT    NOT NULL,
    kind        INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    metadata    TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    deleting    INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX queues_deleting ON queues (incarnation) WHERE deleting = 1;

CREATE TABLE pools (
    name         TEXT    NOT NULL PRIMARY KEY,
    weight       INTEGER NOT NULL,
    uri          TEXT    NOT NULL UNIQUE,
    flavor       TEXT,
    options      TEXT    NOT NULL,
    capabilities TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pools_by_flavor ON pools (flavor, name);

CREATE TABLE flavors (
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE catalogue (
    project TEXT    NOT NULL,
    kind    INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    pool    TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX catalogue_by_pool ON catalogue (pool, project, kind, name);
