\set a \
  1 + \
  2
\set b case \
  when :a = 3 then 4 \
  else 5 end
INSERT INTO drawn (text) VALUES (':a|:b');
