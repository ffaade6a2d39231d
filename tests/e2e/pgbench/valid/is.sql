\set v0 null is null
\set v1 1 is null
\set v2 null is not null
\set v3 1 is not null
\set v4 1 isnull
\set v5 null notnull
\set v6 true is true
\set v7 true is false
\set v8 false is not true
\set v9 1 is true
\set v10 null is false
\set v11 true is not null
\set v12 null isnull is true
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11|:v12');
