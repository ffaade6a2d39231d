\set v0 true and true
\set v1 true and false
\set v2 false or true
\set v3 not true
\set v4 null and false
\set v5 false and null
\set v6 true or null
\set v7 null or true
\set v8 false and 1 = 0
\set v9 true or 1 / 0 = 1
\set v10 false and 1 / 0 = 1
\set v11 not null
\set v12 1 = null
\set v13 null + 1
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11|:v12|:v13');
