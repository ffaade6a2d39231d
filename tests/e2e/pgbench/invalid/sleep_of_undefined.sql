-- error: 2:1: undefined variable "a"
\sleep :a ms
