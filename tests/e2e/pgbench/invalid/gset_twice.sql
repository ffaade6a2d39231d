-- error: 3:1: \gset and \aset must follow an SQL command
SELECT 1 AS a \gset 
\gset
