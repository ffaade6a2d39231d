\set a 1
INSERT INTO drawn (text) VALUES (':a') \; INSERT INTO drawn (text) VALUES ('2') \; SELECT 3;
