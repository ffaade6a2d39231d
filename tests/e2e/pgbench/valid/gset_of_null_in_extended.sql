-- options: -M extended
SELECT NULL AS a, true AS b, 'text' AS c \gset
INSERT INTO drawn (text) VALUES (:a);
INSERT INTO drawn (text) VALUES (:b);
INSERT INTO drawn (text) VALUES (:c);
INSERT INTO drawn (text) VALUES (:undefined);
