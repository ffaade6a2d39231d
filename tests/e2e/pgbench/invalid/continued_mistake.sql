-- error: 3:7: syntax error at ")": a value would fit here
\set a 1 + \
  (2 +) + \
  3
