-- error: 3:1: \gset needs one row, and the last statement gave 0
SELECT 1;
SELECT 1 AS a WHERE false \gset
