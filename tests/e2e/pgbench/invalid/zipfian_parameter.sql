-- error: 2:1: zipfian parameter must be in range [1.001, 1000]
\set a random_zipfian(1, 2, 1)
