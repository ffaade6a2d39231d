-- error: 2:1: a backslash without a command
\ 
