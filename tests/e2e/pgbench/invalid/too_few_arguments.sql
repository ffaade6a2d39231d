-- error: 2:8: unexpected number of arguments (random)
\set a random(1)
