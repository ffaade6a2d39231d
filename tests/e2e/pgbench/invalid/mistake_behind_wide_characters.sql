-- error: 2:21: invalid command "\frobnicate"
SELECT 'é', '日本' \frobnicate
