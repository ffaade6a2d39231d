\set v0 1 < 2
\set v1 2 < 1
\set v2 1 <= 1
\set v3 1 > 2
\set v4 2 >= 2
\set v5 1 = 1
\set v6 1 <> 1
\set v7 1 != 2
\set v8 1.0 = 1
\set v9 0.5 < 1
\set v10 2 > 1.5
\set v11 1 <= 0.5
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
