-- error: 2:1: COPY is not supported
COPY (SELECT 1) TO STDOUT;
