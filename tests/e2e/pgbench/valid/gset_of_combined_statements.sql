SELECT n AS a FROM generate_series(1, 3) AS n \; SET work_mem = '4MB' \; SELECT 5 AS b \gset
SELECT 6 AS c \; SET work_mem = '4MB' \; SELECT 7 AS c \; SELECT n AS d FROM generate_series(1, 3) AS n \; SET work_mem = '4MB' \aset
INSERT INTO drawn (text) VALUES (':a|:b|:c|:d');
