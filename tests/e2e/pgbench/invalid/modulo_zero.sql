-- error: 2:1: division by zero
\set a 1 % 0
