-- error: 2:13: syntax error at "5": NULL, TRUE or FALSE would fit here
\set a 1 is 5
