-- error: 2:11: syntax error: the expression is not complete: a value would fit here
\set a 1 +
