-- error: 2:26: syntax error: the expression is not complete: an operator or END would fit here
\set a case when 1 then 2
