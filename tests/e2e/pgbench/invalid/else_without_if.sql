-- error: 2:1: \else without \if
\else
