-- options: -M prepared -t 4
\set a random(1, 1000)
\set b :a * 2
INSERT INTO drawn (text) VALUES (:a), (:b);
SELECT count(*) AS n FROM drawn \gset
INSERT INTO drawn (text) VALUES (:n);
