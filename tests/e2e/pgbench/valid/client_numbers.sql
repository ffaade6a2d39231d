-- options: -c 4 -t 1
\set draw random(1, 1000000)
INSERT INTO drawn (text) VALUES (':client_id|:draw');
