-- error: 4:1: \elif after \else
\if 1
\else
\elif 1
\endif
