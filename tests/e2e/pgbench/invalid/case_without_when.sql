-- error: 2:13: syntax error
\set a case 1 end
