-- error: 2:10: syntax error at "is"
\set a 1 is 5
