\set v0 0.1
\set v1 1.
\set v2 1e10
\set v3 .5
\set v4 1.5e-3
\set v5 1e15
\set v6 123456789012345678.0
\set v7 0.1 + 0.2
\set v8 1.0 / 3
\set v9 1e100
\set v10 -1e-100
\set v11 2.50
\set v12 1e5
\set v13 100000.0
\set v14 0.00001
\set v15 1E+2
\set v16 double(7)
\set v17 1.0
\set v18 3.14159265358979
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11|:v12|:v13|:v14|:v15|:v16|:v17|:v18');
