-- error: 3:1: invalid command "\frobnicate"
SELECT 1;
\frobnicate 1
