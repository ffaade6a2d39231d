\set a 2
\if :a > 1
  \if :a > 2
    INSERT INTO drawn (text) VALUES ('more');
  \else
    INSERT INTO drawn (text) VALUES ('two');
    \if true
    \elif 1 / 0
    \else
    \endif
  \endif
\else
  \if true
    INSERT INTO drawn (text) VALUES ('never');
  \endif
\endif
