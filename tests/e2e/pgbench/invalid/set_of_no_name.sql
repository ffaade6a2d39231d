-- error: 2:6: invalid variable name: "1a"
\set 1a 5
