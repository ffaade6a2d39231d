\set x 7
INSERT INTO drawn (text) SELECT time '10:30'::text;
INSERT INTO drawn (text) VALUES ('10:30:45 :x :xy 1:2 :: ::x :::x :é');
