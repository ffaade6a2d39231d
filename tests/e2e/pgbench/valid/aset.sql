SELECT 1 AS a \; SELECT 2 AS b, 3 AS c \; SELECT 4 AS d WHERE false \aset
INSERT INTO drawn (text) VALUES (':a|:b|:c|:d');
SELECT n AS e FROM generate_series(1, 3) AS n \aset x_
INSERT INTO drawn (text) VALUES (':x_e');
