-- error: 3:12: unexpected word "a": a variable is written :a
\set a 1
\set b 1 + a
