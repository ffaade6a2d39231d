-- error: 3:1: \sleep needs a number, and the variable "a" is "text"
SELECT 'text' AS a \gset
\sleep :a ms
