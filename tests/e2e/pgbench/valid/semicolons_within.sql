INSERT INTO drawn (text) VALUES ('a;b');
INSERT INTO drawn (text) VALUES (E'a\';b');
INSERT INTO drawn (text) VALUES ($$a;b$$);
INSERT INTO drawn (text) VALUES ($tag$a;$$b$tag$);
INSERT INTO drawn (text) VALUES ((/* ; /* ; */ */ 'c' -- ;
));
INSERT INTO drawn (text) SELECT "a;b" FROM (SELECT 'd' AS "a;b") AS e;
