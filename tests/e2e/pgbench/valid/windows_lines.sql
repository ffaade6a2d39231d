\set a 1 + 1
\if :a = 2
INSERT INTO drawn (text)
VALUES (':a');
\endif
