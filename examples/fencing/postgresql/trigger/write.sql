BEGIN;
SET LOCAL leasehold.fence = :fence;
UPDATE report SET content = :'content' WHERE name = 'daily';
COMMIT;
