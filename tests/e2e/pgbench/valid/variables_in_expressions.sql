\set a 5
\set b :a * 2
\set c :a + :b - :a
\set a :a + 1
\set _d :a
\set e1 :_d
INSERT INTO drawn (text) VALUES (':a|:b|:c|:_d|:e1');
