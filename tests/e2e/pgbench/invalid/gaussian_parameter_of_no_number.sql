-- pgbench: draws for ever
-- error: 3:1: gaussian parameter must be at least 2.0 (not NaN)
\set a random_gaussian(1, 10, 0.0 / 0.0)
