INSERT INTO drawn (text) VALUES ('1')
