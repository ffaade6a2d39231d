\if 0.0
INSERT INTO drawn (text) VALUES ('0.0');
\endif
\if 0.5
INSERT INTO drawn (text) VALUES ('0.5');
\endif
\if -1
INSERT INTO drawn (text) VALUES ('-1');
\endif
\if not true
INSERT INTO drawn (text) VALUES ('not');
\endif
