-- error: 2:1: random range is too large
\set a random(-9223372036854775807, 9223372036854775807)
