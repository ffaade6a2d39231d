-- error: 2:14: syntax error
\set a (1 + 2
