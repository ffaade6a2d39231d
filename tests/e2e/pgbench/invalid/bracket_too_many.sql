-- error: 2:13: syntax error at ")"
\set a 1 + 2)
