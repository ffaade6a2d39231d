\set t 2
\sleep 1 ms
\sleep 1000us
\sleep :t ms
\sleep 0
\sleep 0s
\sleep 5 US
INSERT INTO drawn (text) VALUES ('slept');
