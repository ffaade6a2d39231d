-- error: 3:1: the script ends with its transaction still open
BEGIN;
SELECT 1;
