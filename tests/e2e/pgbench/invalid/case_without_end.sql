-- error: 2:25: syntax error
\set a case when 1 then 2
