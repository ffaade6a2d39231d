-- error: 3:1: \if without \endif
SELECT 1;
\if 1
SELECT 2;
