-- options: -M extended
-- error: 4:9: a variable in a string, a comment or a quoted name needs -M simple
\set a 1
SELECT ':a';
