-- error: 2:39: syntax error at "then": a value would fit here
\set a case when true then 2 when 1 + then 3 end
