-- error: 2:11: syntax error: the expression is not complete
\set a 1 +
