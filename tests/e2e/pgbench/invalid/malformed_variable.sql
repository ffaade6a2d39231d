-- error: 3:1: malformed variable "a" value: "text"
SELECT 'text' AS a \gset
\set b :a + 1
