-- error: 2:1: \gset needs one row, and the last statement gave 2
SELECT n FROM generate_series(1, 2) AS n \gset
