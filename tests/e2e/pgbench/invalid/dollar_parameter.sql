-- options: -M extended
-- error: 3:1: the SQL has a parameter $1: write a variable, as in :name
SELECT $1;
