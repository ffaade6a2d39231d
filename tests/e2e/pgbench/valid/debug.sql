\set a debug(5 * debug(2.5))
\set b debug(null)
\set c debug(true)
INSERT INTO drawn (text) VALUES (':a|:b|:c');
