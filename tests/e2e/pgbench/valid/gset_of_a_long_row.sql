SELECT repeat('x', 100000) AS a \gset
INSERT INTO drawn (text) SELECT length(':a')::text;
