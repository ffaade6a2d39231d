-- a comment; with a semicolon
   -- another
INSERT INTO drawn (text) VALUES ('1'); -- behind
/* in front */ INSERT INTO drawn (text) VALUES ('2');
--

