SELECT 1 AS a, 2 AS b \gset p_
INSERT INTO drawn (text) VALUES (':p_a|:p_b|:a');
SELECT 3 AS a
\gset
INSERT INTO drawn (text) VALUES (':a|:p_a');
