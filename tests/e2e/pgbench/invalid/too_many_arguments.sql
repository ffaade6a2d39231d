-- error: 2:8: unexpected number of arguments (pi)
\set a pi(1)
