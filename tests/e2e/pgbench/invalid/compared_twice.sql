-- error: 2:14: syntax error at "<"
\set a 1 < 2 < 3
