SELECT 1 AS a \; SELECT 2 AS a \gset
INSERT INTO drawn (text) VALUES (':a');
