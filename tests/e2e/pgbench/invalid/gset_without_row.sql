-- error: 3:1: \gset needs one row, and there were 0
SELECT 1;
SELECT 1 AS a WHERE false \gset
