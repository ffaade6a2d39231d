\if false
\if :undefined
\endif
\else
\endif
\if true
INSERT INTO drawn (text) VALUES ('taken');
\elif :undefined
INSERT INTO drawn (text) VALUES ('not taken');
\endif
\if 0
\elif 0.0
\elif null
\else
INSERT INTO drawn (text) VALUES ('the last');
\endif
