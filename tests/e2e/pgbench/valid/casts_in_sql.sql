\set x 7
INSERT INTO drawn (text) SELECT (:x::int + 1)::text;
INSERT INTO drawn (text) SELECT ':x'::text;
INSERT INTO drawn (text) SELECT '1'::int::text;
