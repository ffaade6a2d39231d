-- options: -D x=0 --max-tries=9 -t 3
CREATE OR REPLACE FUNCTION fail() RETURNS int LANGUAGE plpgsql AS $$
  BEGIN RAISE EXCEPTION 'again' USING errcode = 'serialization_failure'; END $$;
\set drawn random(1, 1000000)
\set x :x + 1
BEGIN;
SELECT CASE WHEN :x % 4 > 0 THEN fail() ELSE 1 END;
INSERT INTO drawn (text) VALUES (':x :drawn');
END;
