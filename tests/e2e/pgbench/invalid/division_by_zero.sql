-- error: 3:1: division by zero
SELECT 1;
\set a 1 / 0
