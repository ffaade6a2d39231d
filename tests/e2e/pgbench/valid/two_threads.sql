-- options: -c 4 -j 2 -t 5
\set a random(1, 1000000)
\set b random_gaussian(1, 1000000, 2.5)
INSERT INTO drawn (text) VALUES (':client_id :a :b');
