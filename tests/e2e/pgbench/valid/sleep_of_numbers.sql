\set a 1.7
\sleep :a ms
\set a -1
\sleep :a
\sleep :a us
SELECT '  2x' AS a \gset
\sleep :a ms
INSERT INTO drawn (text) VALUES ('slept');
