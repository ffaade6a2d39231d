-- error: 2:10: syntax error at "2"
\set a 1 2
