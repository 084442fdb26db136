-- How many positions of a queue, behind what was purged, hold nothing that lives: what was deleted or
-- retired. The living are counted from it in no time, however many they are (src/sqlite/stats.rs).

ALTER TABLE heads ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;

UPDATE heads SET gone = next - 1 - purged - (
    SELECT count(*) FROM messages
    WHERE id > (heads.number << 35) | heads.purged AND id < (heads.number + 1) << 35 AND expires > 0
);
