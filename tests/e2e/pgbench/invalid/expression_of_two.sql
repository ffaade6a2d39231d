-- error: 2:10: syntax error at "2": an operator or the end of the line would fit here
\set a 1 2
