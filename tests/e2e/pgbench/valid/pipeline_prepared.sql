-- options: -M prepared -t 3
\set a 1
\startpipeline
BEGIN;
INSERT INTO drawn (text) VALUES (:a::int::text);
\sleep 1 ms
INSERT INTO drawn (text) VALUES (:a::int::text);
END;
\endpipeline
