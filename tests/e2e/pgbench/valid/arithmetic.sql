\set v0 1 + 2
\set v1 7 - 10
\set v2 6 * 7
\set v3 7 / 2
\set v4 -7 / 2
\set v5 7 % 3
\set v6 -7 % 3
\set v7 7 % -3
\set v8 1.5 + 1
\set v9 3 / 2.0
\set v10 2 * 0.1
\set v11 -5
\set v12 - 5 - -5
\set v13 +3
\set v14 1 - 2 - 3
\set v15 100 / 10 / 5
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11|:v12|:v13|:v14|:v15');
