-- error: 2:20: syntax error at "3)": an operator or ")" would fit here
\set a random(1, 2 3)
