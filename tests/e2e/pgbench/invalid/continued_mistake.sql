-- error: 3:7: syntax error at ")"
\set a 1 + \
  (2 +) + \
  3
