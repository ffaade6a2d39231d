-- error: 2:13: syntax error at "1": WHEN would fit here
\set a case 1 end
