-- error: 2:18: syntax error at ")": a value would fit here
\set a random(1, )
