-- error: 2:1: \elif without \if
\elif 1
