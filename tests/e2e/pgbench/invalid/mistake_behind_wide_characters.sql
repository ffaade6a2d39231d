-- error: 2:18: invalid command "\frobnicate"
SELECT 'é', '日本' \frobnicate
