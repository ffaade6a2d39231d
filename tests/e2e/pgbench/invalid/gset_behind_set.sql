-- error: 3:1: \gset and \aset must follow an SQL command
\set a 1
\gset
