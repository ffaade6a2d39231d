-- error: 2:1: exponential parameter must be greater than zero
\set a random_exponential(1, 2, 0)
