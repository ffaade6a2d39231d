-- error: 2:7: syntax error: the expression is not complete
\set a
