-- error: 2:1: double to int overflow
\set a int(1e20)
