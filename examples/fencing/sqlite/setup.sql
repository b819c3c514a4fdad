CREATE TABLE report (name TEXT PRIMARY KEY, content TEXT NOT NULL);
INSERT INTO report VALUES ('daily', '');

CREATE TABLE fence (token INTEGER NOT NULL);
INSERT INTO fence VALUES (0);

CREATE TRIGGER fence_never_falls BEFORE UPDATE ON fence WHEN NEW.token < OLD.token
BEGIN
    SELECT RAISE(ROLLBACK, 'stale fencing token: another leader has written');
END;
CREATE TRIGGER fence_stays BEFORE DELETE ON fence
BEGIN
    SELECT RAISE(ROLLBACK, 'the fence is never deleted');
END;
