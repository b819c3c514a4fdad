PREPARE write (bigint, text, text) AS
    UPDATE report SET fence = $1, content = $2 WHERE name = $3 AND fence <= $1;
EXECUTE write (:fence, :'content', 'daily');

-- No row was updated: the token is stale. A program looks at the count that its driver returns.
\if :ROW_COUNT
\else
    DO $$ BEGIN RAISE EXCEPTION 'stale fencing token: another leader has written'; END $$;
\endif
