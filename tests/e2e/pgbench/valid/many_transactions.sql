-- options: -c 2 -t 20
\set a random(1, 1000000)
\set b random_zipfian(1, 100000, 1.1)
\set c random_gaussian(1, 100000, 3)
\set d random_exponential(1, 100000, 5)
INSERT INTO drawn (text) VALUES (':client_id :a :b :c :d');
