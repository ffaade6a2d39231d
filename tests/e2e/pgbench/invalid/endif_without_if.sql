-- error: 3:1: \endif without \if
SELECT 1;
\endif
