-- pgbench: takes it
-- error: 3:1: \setshell starts a program, which is not done here
\setshell a echo 1
