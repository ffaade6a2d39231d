\set a 1 + \
  2
\if :a = 3
SELECT 4 AS b \gset \
  p_
\else
\endif
INSERT INTO drawn (text) VALUES (':a|:p_b');
