-- error: 3:1: malformed variable "a" value: "1e400"
SELECT '1e400' AS a \gset
\set b :a
