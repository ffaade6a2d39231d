-- error: 2:1: missing argument in command "set"
\set
