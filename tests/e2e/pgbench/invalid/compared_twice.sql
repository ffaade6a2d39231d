-- error: 2:14: syntax error at "<": comparisons have no order among one another
\set a 1 < 2 < 3
