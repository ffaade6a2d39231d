-- options: -M extended
\startpipeline
;
INSERT INTO drawn (text) VALUES ('between');
;
\endpipeline
;
