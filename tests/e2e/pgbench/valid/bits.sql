\set v0 5 & 3
\set v1 5 | 3
\set v2 5 # 3
\set v3 ~5
\set v4 1 << 10
\set v5 1024 >> 3
\set v6 -16 >> 2
\set v7 1 << 62
\set v8 ~0
\set v9 -1 & 255
\set v10 2 << 1 << 1
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10');
