INSERT INTO drawn (text) VALUES ('1')
\set a 2
INSERT INTO drawn (text) VALUES (':a');
SELECT 1 \set b 3
INSERT INTO drawn (text) VALUES (':b');
