-- error: 2:8: at least 1 argument(s) expected (greatest)
\set a greatest()
