-- error: 2:13: too many arguments in command "sleep"
\sleep 1 ms 2
