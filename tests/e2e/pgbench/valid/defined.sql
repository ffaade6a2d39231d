-- options: -D a=5 -D b=1.5 -D c=yes -D d=null -D e=text -D default_seed=7 -D scale=3
\set a2 :a + 1
\set b2 :b + 1
\set c2 not :c
\set d2 :d is null
\set h hash(1)
INSERT INTO drawn (text) VALUES (':a|:b|:c|:d|:e|:a2|:b2|:c2|:d2|:h|:scale');
