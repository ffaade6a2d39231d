-- error: 2:1: undefined variable "b"
\set a :b
