-- error: 2:1: \gset needs one row, and the last statement gave 0
SELECT 1 AS a \; SET work_mem = '4MB' \gset
