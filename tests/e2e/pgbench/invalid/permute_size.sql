-- error: 2:1: permute size parameter must be greater than zero
\set a permute(1, 0)
