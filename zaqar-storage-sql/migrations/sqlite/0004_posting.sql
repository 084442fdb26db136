-- A post as a single statement. Inserting into this view stores messages if, and only if, the queue
-- head is open, unsubscribed, and where the writer believes it to be; otherwise the statement
-- aborts and has changed nothing. In autocommit the statement is the whole transaction.

CREATE VIEW posting (queue, position, avail, expires, ttl, posted, client, body, checksum) AS
    SELECT 0, 0, 0, 0, 0, 0, NULL, NULL, NULL;

CREATE TRIGGER posting_message INSTEAD OF INSERT ON posting
BEGIN
    UPDATE heads SET next = new.position + 1
        WHERE number = new.queue AND next = new.position AND state = 0 AND subscribed = 0;
    SELECT RAISE (ABORT, 'the queue head has changed') WHERE changes() = 0;
    INSERT INTO bodies (id, body, checksum)
        VALUES ((new.queue << 35) | new.position, new.body, new.checksum);
    INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims, client)
        VALUES ((new.queue << 35) | new.position, new.queue, new.avail, new.expires, new.ttl,
                new.posted, 0, new.client);
END;
