-- In the simple protocol a pipeline is a mistake where it is begun, and only there.
\if false
\startpipeline
SELECT 1;
\endpipeline
\endif
INSERT INTO drawn (text) VALUES ('taken');
