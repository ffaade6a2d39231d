-- error: 2:22: \gset and \aset must follow an SQL command
SELECT 1 AS a \gset 
\gset
