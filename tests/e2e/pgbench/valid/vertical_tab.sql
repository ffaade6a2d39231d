\set	a 1+2
INSERT INTO drawn (text) VALUES (':a');
