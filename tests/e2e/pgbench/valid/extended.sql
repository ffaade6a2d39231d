-- options: -M extended
\set a 5
\set b 1.5
\set c null
INSERT INTO drawn (text) VALUES (:a::int + :a), (:b::numeric * 2), (:undefined), (:c), (5::int);
