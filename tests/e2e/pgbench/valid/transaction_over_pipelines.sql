-- options: -M extended
\startpipeline
BEGIN;
INSERT INTO drawn (text) VALUES ('in');
\endpipeline
INSERT INTO drawn (text) VALUES ('between');
\startpipeline
SAVEPOINT a;
INSERT INTO drawn (text) VALUES ('undone');
ROLLBACK TO a;
COMMIT;
\endpipeline
