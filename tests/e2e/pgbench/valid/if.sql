\set a 3
\if :a = 1
INSERT INTO drawn (text) VALUES ('one');
\elif :a = 3
INSERT INTO drawn (text) VALUES ('three');
\elif :a = 3
INSERT INTO drawn (text) VALUES ('again');
\else
INSERT INTO drawn (text) VALUES ('else');
\endif
\if 0
\set a 1 / 0
\endif
\if null
\else
INSERT INTO drawn (text) VALUES ('null');
\endif
