-- Both planes. The data plane is drawn and explained in src/mysql/tables.rs; every index says there
-- what it serves. Names and client texts are bytes: no collation folds two of them into one, and a
-- trailing space counts. A statement of DDL commits by itself, so everything here may be run again.

CREATE TABLE IF NOT EXISTS schema_version (
    only_one BIGINT NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS store (
    only_one BIGINT         NOT NULL PRIMARY KEY,
    store_id VARBINARY(64)  NOT NULL,
    epoch    BIGINT         NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS heads (
    number            BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    incarnation       BIGINT          NOT NULL,
    state             BIGINT          NOT NULL DEFAULT 0,
    kind              BIGINT          NOT NULL,
    epoch             BIGINT          NOT NULL DEFAULT 0,
    next              BIGINT          NOT NULL DEFAULT 1,
    purged            BIGINT          NOT NULL DEFAULT 0,
    subscription_next BIGINT          NOT NULL DEFAULT 1,
    exhausted_next    BIGINT          NOT NULL DEFAULT 1,
    subscribed        BIGINT          NOT NULL DEFAULT 0,
    reclaim           BIGINT          NOT NULL DEFAULT 0,
    project           VARBINARY(1024) NOT NULL,
    name              VARBINARY(64)   NOT NULL,
    UNIQUE KEY heads_by_incarnation (incarnation),
    KEY heads_to_reclaim (reclaim, number)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS releases (
    queue BIGINT NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS messages (
    id       BIGINT          NOT NULL PRIMARY KEY,
    queue    BIGINT          NOT NULL,
    avail    BIGINT          NOT NULL,
    expires  BIGINT          NOT NULL,
    ttl      BIGINT          NOT NULL,
    posted   BIGINT          NOT NULL,
    claims   BIGINT          NOT NULL DEFAULT 0,
    claim    BINARY(16)      NOT NULL DEFAULT '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0',
    client   VARBINARY(1024),
    origin   VARBINARY(64),
    checksum VARBINARY(255),
    body     LONGBLOB        NOT NULL,
    KEY claimable (queue, avail, claim, id),
    KEY expiring (queue, expires, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS claims (
    queue   BIGINT     NOT NULL,
    id      BINARY(16) NOT NULL,
    ttl     BIGINT     NOT NULL,
    started BIGINT     NOT NULL,
    ends    BIGINT     NOT NULL,
    PRIMARY KEY (queue, id),
    KEY claims_by_end (ends)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS post_keys (
    queue    BIGINT         NOT NULL,
    post_key VARBINARY(255) NOT NULL,
    first    BIGINT         NOT NULL,
    count    BIGINT         NOT NULL,
    expires  BIGINT         NOT NULL,
    digest   BINARY(32)     NOT NULL,
    PRIMARY KEY (queue, post_key),
    KEY post_keys_by_end (expires)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS arrivals (
    queue  BIGINT        NOT NULL,
    id     BIGINT        NOT NULL,
    origin VARBINARY(64) NOT NULL,
    PRIMARY KEY (queue, origin)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS transfers (
    id         BIGINT        NOT NULL PRIMARY KEY,
    queue      BIGINT        NOT NULL,
    ttl        BIGINT        NOT NULL,
    lease_ends BIGINT        NOT NULL DEFAULT 0,
    target     VARBINARY(64) NOT NULL,
    lease      BINARY(16),
    KEY transfers_by_queue (queue, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS subscriptions (
    queue              BIGINT     NOT NULL,
    number             BIGINT     NOT NULL,
    ttl                BIGINT     NOT NULL,
    created            BIGINT     NOT NULL,
    expires            BIGINT     NOT NULL,
    since              BIGINT     NOT NULL,
    delivered          BIGINT     NOT NULL,
    lease_ends         BIGINT     NOT NULL DEFAULT 0,
    confirmed          BIGINT     NOT NULL DEFAULT 0,
    needs_confirmation BIGINT     NOT NULL,
    subscriber         LONGBLOB   NOT NULL,
    options            LONGBLOB   NOT NULL,
    owner              LONGBLOB,
    lease              BINARY(16),
    PRIMARY KEY (queue, number),
    KEY subscriptions_by_subscriber (queue, subscriber(255)),
    KEY subscriptions_by_end (expires)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS outbox (
    id      BIGINT   NOT NULL PRIMARY KEY,
    queue   BIGINT   NOT NULL,
    last    BIGINT   NOT NULL,
    payload LONGBLOB NOT NULL,
    KEY outbox_by_queue (queue, last)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS retries (
    queue        BIGINT NOT NULL,
    subscription BIGINT NOT NULL,
    position     BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    not_before   BIGINT NOT NULL,
    PRIMARY KEY (queue, subscription, position),
    KEY retries_by_moment (queue, subscription, not_before),
    KEY retries_by_position (queue, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS exhausted (
    queue      BIGINT        NOT NULL,
    number     BIGINT        NOT NULL,
    attempts   BIGINT        NOT NULL,
    at         BIGINT        NOT NULL,
    message    VARBINARY(64) NOT NULL,
    subscriber LONGBLOB      NOT NULL,
    reason     LONGBLOB      NOT NULL,
    PRIMARY KEY (queue, number)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS incarnations (
    only_one BIGINT NOT NULL PRIMARY KEY,
    next     BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS queues (
    project     VARBINARY(1024) NOT NULL,
    kind        BIGINT          NOT NULL,
    name        VARBINARY(64)   NOT NULL,
    incarnation BIGINT          NOT NULL,
    revision    BIGINT          NOT NULL,
    deleting    BIGINT          NOT NULL,
    metadata    LONGBLOB        NOT NULL,
    PRIMARY KEY (project, kind, name),
    KEY queues_deleting (deleting, incarnation)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS pools (
    name         VARBINARY(64) NOT NULL PRIMARY KEY,
    weight       BIGINT        NOT NULL,
    uri          LONGBLOB      NOT NULL,
    flavor       VARBINARY(64),
    options      LONGBLOB      NOT NULL,
    capabilities LONGBLOB      NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS flavors (
    project      VARBINARY(1024) NOT NULL,
    name         VARBINARY(64)   NOT NULL,
    capabilities LONGBLOB        NOT NULL,
    PRIMARY KEY (project, name)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS catalogue (
    project VARBINARY(1024) NOT NULL,
    kind    BIGINT          NOT NULL,
    name    VARBINARY(64)   NOT NULL,
    epoch   BIGINT          NOT NULL,
    pool    VARBINARY(64)   NOT NULL,
    PRIMARY KEY (project, kind, name),
    KEY catalogue_by_pool (pool, project, kind, name)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO incarnations (only_one, next) VALUES (1, 1);

INSERT IGNORE INTO store (only_one, store_id, epoch) VALUES (1, UUID(), 0);
