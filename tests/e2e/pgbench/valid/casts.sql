\set v0 int(1.5)
\set v1 int(2.5)
\set v2 int(-1.5)
\set v3 int(0.4999)
\set v4 int(3)
\set v5 double(1) / 3
\set v6 1.5 % 2
\set v7 5.5 & 3
\set v8 int(9007199254740993.0)
\set v9 7.6 % 3
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9');
