-- error: 2:8: bigint constant overflow
\set a 9223372036854775808
