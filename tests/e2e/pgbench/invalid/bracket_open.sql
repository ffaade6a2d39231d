-- error: 2:14: syntax error: the expression is not complete: an operator or ")" would fit here
\set a (1 + 2
