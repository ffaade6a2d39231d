\set v0 TRUE
\set v1 False
\set v2 tRUE
\set v3 NULL
\set v4 Case When True Then ABS(-1) Else NULL End
\set v5 not FALSE And True
\set v6 1 Is Not Null
\set v7 PI()
\set v8 Random(1, 1)
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8');
