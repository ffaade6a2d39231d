-- error: 4:1: \else after \else
\if 1
\else
\else
\endif
