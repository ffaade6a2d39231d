-- error: 2:1: \gset needs one row of the last statement, and there were 0
SELECT 1 AS a \; SET work_mem = '4MB' \gset
