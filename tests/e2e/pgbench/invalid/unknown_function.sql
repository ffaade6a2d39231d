-- error: 2:12: unexpected function name "frob"
\set a 1 + frob(2)
