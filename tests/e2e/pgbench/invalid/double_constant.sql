-- error: 2:8: double constant overflow
\set a 1e400
