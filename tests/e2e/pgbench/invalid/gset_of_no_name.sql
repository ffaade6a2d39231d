-- error: 3:1: \gset and \aset cannot make a variable "?column?"
SELECT 1 AS a;
SELECT 1 \gset
