-- What a step does to many messages, as inserts into views: one statement each, whatever the number
-- of claims, runs or rows. A run is an unbroken range of row ids; rows that belong together nearly
-- always are one.

DROP TRIGGER posting_message;
DROP VIEW posting;

-- A post as a single statement. It stores the messages if, and only if, the queue head is open,
-- unsubscribed, and where the writer believes it to be; otherwise it aborts and has changed nothing.
-- In autocommit the statement is the whole transaction. `count` is null but on the first row.
CREATE VIEW posting (queue, position, count, avail, expires, ttl, posted, client, body, checksum) AS
    SELECT 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL;

CREATE TRIGGER posting_guard INSTEAD OF INSERT ON posting WHEN new.count IS NOT NULL
BEGIN
    UPDATE heads SET next = new.position + new.count
        WHERE number = new.queue AND next = new.position AND state = 0 AND subscribed = 0;
    SELECT RAISE (ABORT, 'the queue head has changed') WHERE changes() = 0;
END;

CREATE TRIGGER posting_message INSTEAD OF INSERT ON posting
BEGIN
    INSERT INTO bodies (id, body, checksum)
        VALUES ((new.queue << 35) | new.position, new.body, new.checksum);
    INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims, client)
        VALUES ((new.queue << 35) | new.position, new.queue, new.avail, new.expires, new.ttl,
                new.posted, 0, new.client);
END;

-- A claim of a run of messages. `messages` is null but on a claim's first run.
CREATE VIEW leasing (queue, claim, ttl, started, ends, messages, first, last) AS
    SELECT 0, NULL, 0, 0, 0, NULL, 0, 0;

CREATE TRIGGER leasing_claim INSTEAD OF INSERT ON leasing WHEN new.messages IS NOT NULL
BEGIN
    INSERT INTO claims (queue, id, ttl, started, ends, messages)
        VALUES (new.queue, new.claim, new.ttl, new.started, new.ends, new.messages);
END;

CREATE TRIGGER leasing_run INSTEAD OF INSERT ON leasing
BEGIN
    UPDATE messages SET avail = new.ends, claim = new.claim, claims = claims + 1
        WHERE id BETWEEN new.first AND new.last;
END;

-- The end of a run of messages, bodies and all.
CREATE VIEW removing (first, last) AS SELECT 0, 0;

CREATE TRIGGER removing_run INSTEAD OF INSERT ON removing
BEGIN
    DELETE FROM messages WHERE id BETWEEN new.first AND new.last;
    DELETE FROM bodies WHERE id BETWEEN new.first AND new.last;
END;
