SELECT 1 AS a, 'text' AS b, NULL AS c, 2.50 AS d \gset
INSERT INTO drawn (text) VALUES (':a|:b|:c|:d');
\set e :a + 1
INSERT INTO drawn (text) VALUES (':e');
