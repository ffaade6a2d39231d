-- options: -M extended
\set x 7
INSERT INTO drawn (text) SELECT time '10:30'::text || ' 10:30:45 1:2';
INSERT INTO drawn (text) SELECT (:x::int + 1)::text || (ARRAY[1, 2, 3])[1:2]::text;
INSERT INTO drawn (text) SELECT make_interval(days := :x::int)::text; INSERT INTO drawn (text) VALUES (:x::text)
