-- error: 2:1: bigint div out of range
\set a -9223372036854775808 / -1
