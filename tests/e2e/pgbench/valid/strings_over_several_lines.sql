INSERT INTO drawn (text) VALUES (E'a'
  -- a comment
  'b\'c;d');
INSERT INTO drawn (text) VALUES (E'a''b\'c;d');
INSERT INTO drawn (text) VALUES (U&'\0041;b');
INSERT INTO drawn (text) VALUES ('a\'); INSERT INTO drawn (text) VALUES ('b');
