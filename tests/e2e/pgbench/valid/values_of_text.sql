SELECT 'true' AS a, 'off' AS b, '12' AS c, '1.5' AS d, 'null' AS e, 'y' AS f, 'NO' AS g \gset
\set a2 not :a
\set b2 not :b
\set c2 :c + 1
\set d2 :d * 2
\set e2 :e is null
\set f2 not :f
\set g2 not :g
INSERT INTO drawn (text) VALUES (':a2|:b2|:c2|:d2|:e2|:f2|:g2');
