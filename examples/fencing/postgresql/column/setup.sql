CREATE TABLE report (
    name text PRIMARY KEY,
    content text NOT NULL,
    -- The highest fencing token that has written this row.
    fence bigint NOT NULL
);
INSERT INTO report VALUES ('daily', '', 0);
