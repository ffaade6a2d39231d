-- error: 2:1: bigint sub out of range
\set a -9223372036854775807 - 2
