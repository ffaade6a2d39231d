SELECT '0x10' AS a, '-0X1.8p+1' AS b, ' 7' AS c, '+7' AS d, 'infinity' AS e, '1e300' AS f, '0x.1' AS g \gset
\set a debug(:a)
\set b debug(:b)
\set c debug(:c)
\set d debug(:d)
\set e debug(:e)
\set f debug(:f)
\set g debug(:g)
INSERT INTO drawn (text) VALUES (':a :b :c :d :e :f :g');
