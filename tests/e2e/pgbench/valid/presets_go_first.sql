-- options: -D client_id=7 -D scale=8 -D random_seed=9 -D default_seed=10 -D a=it's=b -D a=b -D é=c
\set h hash(5)
INSERT INTO drawn (text) VALUES (':client_id|:scale|:random_seed|:default_seed|:h|:a|:é');
