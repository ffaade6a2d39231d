-- error: 2:21: invalid variable name: "1_"
SELECT 1 AS a \gset 1_
