-- error: 2:26: syntax error
\set a case when 1 then 2
