\set v0 case when true then 1 else 2 end
\set v1 case when false then 1 else 2 end
\set v2 case when false then 1 end
\set v3 case when 1 = 2 then 10 when 2 = 2 then 20 else 30 end
\set v4 case when null then 1 else 2 end
\set v5 case when 1 then 1.5 else 2 end
\set v6 CASE WHEN 0 THEN 1 WHEN 0.0 THEN 2 ELSE CASE WHEN true THEN 3 END END
\set v7 case when false then 1 / 0 else 5 end
\set v8 1 + case when true then 1 end * 2
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8');
