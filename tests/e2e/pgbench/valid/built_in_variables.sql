-- options: -s 7 -c 3 -t 2
INSERT INTO drawn (text) VALUES (':scale|:random_seed|:default_seed');
