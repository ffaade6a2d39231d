-- error: 2:23: unexpected argument "b"
SELECT 1 AS a \gset a b
