INSERT INTO drawn (text) VALUES ('a :undefined b');
