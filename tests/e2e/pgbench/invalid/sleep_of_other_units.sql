-- error: 2:10: unrecognized time unit "hours"
\sleep 1 hours
