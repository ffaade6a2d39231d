INSERT INTO drawn (text) VALUES ('1') \set a 2
INSERT INTO drawn (text) VALUES (':a')
\sleep 1 us
