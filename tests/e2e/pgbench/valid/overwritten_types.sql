\set a 1
\set a 1.5
\set b :a
\set a true
\set c :a
\set a null
\set d :a is null
INSERT INTO drawn (text) VALUES (':a|:b|:c|:d');
