-- error: 2:1: empty range given to random
\set a random(2, 1)
