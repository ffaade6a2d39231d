-- error: 2:1: cannot coerce boolean to int
\set a 1 + true
