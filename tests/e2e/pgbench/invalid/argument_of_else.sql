-- error: 3:7: unexpected argument "1"
\if 1
\else 1
\endif
