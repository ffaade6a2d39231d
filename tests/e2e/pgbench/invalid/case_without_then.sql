-- error: 2:20: syntax error at "2": an operator or THEN would fit here
\set a case when 1 2 end
