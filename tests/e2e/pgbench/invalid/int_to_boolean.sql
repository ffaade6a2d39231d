-- error: 2:1: cannot coerce int to boolean
\set a not 1
