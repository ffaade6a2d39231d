-- options: -M extended
\set a 1
\startpipeline
INSERT INTO drawn (text) VALUES (:a::text);
\set a :a + 1
INSERT INTO drawn (text) VALUES (:a::text);
\endpipeline
\startpipeline
\endpipeline
INSERT INTO drawn (text) VALUES ('behind');
