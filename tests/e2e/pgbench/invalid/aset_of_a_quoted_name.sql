-- error: 2:1: \gset and \aset cannot make a variable "p_a b"
SELECT 1 AS "a b" \aset p_
