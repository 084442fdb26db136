-- The writer runs its statements itself, so nothing is gained by doing the work of several in one:
-- the views that did are gone.

DROP TRIGGER posting_guard;
DROP TRIGGER posting_message;
DROP VIEW posting;
DROP TRIGGER leasing_claim;
DROP TRIGGER leasing_run;
DROP VIEW leasing;
DROP TRIGGER removing_run;
DROP VIEW removing;
