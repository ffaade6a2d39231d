-- error: 3:1: malformed variable "a" value: "5 "
SELECT '5 ' AS a \gset
\set b :a
