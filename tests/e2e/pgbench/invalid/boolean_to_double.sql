-- error: 2:1: cannot coerce boolean to double
\set a 1.5 + true
