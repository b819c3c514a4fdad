CREATE TABLE report (name text PRIMARY KEY, content text NOT NULL);
INSERT INTO report VALUES ('daily', '');

CREATE TABLE fence (election text PRIMARY KEY, token bigint NOT NULL);
INSERT INTO fence VALUES ('jobs/report', 0);

-- Takes note of the token, and keeps the fence's row locked until the transaction ends. SECURITY
-- DEFINER: who writes reports needs no right on the fence, and can't set it back.
CREATE FUNCTION refuse_stale() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    given bigint := nullif(current_setting('leasehold.fence', true), '');
BEGIN
    UPDATE fence SET token = given WHERE election = TG_ARGV[0] AND token <= given;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stale fencing token %: another leader of % has written',
            coalesce(given::text, '(none given)'), TG_ARGV[0];
    END IF;
    RETURN NULL;
END $$;

-- One such trigger for each table that only the leader writes.
CREATE TRIGGER fenced BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON report
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_stale('jobs/report');
