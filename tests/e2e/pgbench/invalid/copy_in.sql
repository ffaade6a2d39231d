-- error: 3:1: COPY is not supported
SELECT 1;
COPY drawn FROM STDIN;
