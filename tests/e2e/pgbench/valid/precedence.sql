\set v0 1 + 2 * 3
\set v1 (1 + 2) * 3
\set v2 ~1 + 2
\set v3 ~1 | 2
\set v4 1 | 2 + 4
\set v5 1 << 2 + 1
\set v6 -2 * -3
\set v7 - 2 - 1
\set v8 1 + 1 = 2
\set v9 not 1 = 2
\set v10 not false and false
\set v11 true or false and false
\set v12 1 < 2 and 2 < 3
\set v13 2 & 3 = 2
\set v14 1 + 2 is null
\set v15 not null is null
\set v16 5 # 3 & 1
\set v17 -(1 + 2)
\set v18 1 = 1 is true
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11|:v12|:v13|:v14|:v15|:v16|:v17|:v18');
