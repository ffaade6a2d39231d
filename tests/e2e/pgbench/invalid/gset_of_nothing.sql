-- error: 2:1: \gset and \aset must follow an SQL command
\gset
