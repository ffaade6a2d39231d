-- error: 2:1: gaussian parameter must be at least 2.0
\set a random_gaussian(1, 2, 1.5)
