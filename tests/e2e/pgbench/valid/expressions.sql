\set v0 2 * -3
\set v1 not 1 = 2
\set v2 not not true
\set v3 ~1 | 2
\set v4 ~ -1 + 3
\set v5 - - 3
\set v6 -~3
\set v7 ~-3
\set v8 1 - -1
\set v9 1--1
\set v10 + 3
\set v11 +-+3
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 -9223372036854775808
\set v1 - 9223372036854775808
\set v2 9223372036854775807
\set v3 -9223372036854775807 - 1
\set v4 1.5e3
\set v5 1.e3
\set v6 .5
\set v7 5.
\set v8 1e5
\set v9 1E+2
\set v10 1 <> 2
\set v11 1 != 2
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 1 <= 2 and 3 >= 2
\set v1 1 << 2 << 3
\set v2 1 << 64
\set v3 1 << -1
\set v4 -8 >> 1
\set v5 1 | 2 # 3 & 4
\set v6 1 + 2 * 3 % 4 / 5
\set v7 8 / 3 * 3
\set v8 -7 / 2
\set v9 -7 % 3
\set v10 7 % -3
\set v11 7.5 / 2
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 1 / 0.0
\set v1 0.0 / 0.0
\set v2 -1 / 0.0
\set v3 1 / 2.0
\set v4 abs(-5)
\set v5 abs(-5.5)
\set v6 ABS(-1)
\set v7 abs(null)
\set v8 double(5)
\set v9 double(null)
\set v10 int(5.5)
\set v11 int(6.5)
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 int(null)
\set v1 exp(1)
\set v2 ln(2)
\set v3 ln(0)
\set v4 ln(-1)
\set v5 sqrt(2)
\set v6 sqrt(-1)
\set v7 pow(2, 10)
\set v8 power(2.0, -1)
\set v9 pow(0, 0)
\set v10 pow(-8, 1.0/3)
\set v11 pi()
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 mod(7, 3)
\set v1 mod(-7, 3)
\set v2 mod(7.6, 3)
\set v3 greatest(1)
\set v4 greatest(1, 2.5, 3)
\set v5 greatest(1, null, 3)
\set v6 least(1, 2.5, 3)
\set v7 least(3, 1)
\set v8 greatest(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16)
\set v9 hash(10, 5432)
\set v10 hash(10)
\set v11 hash_fnv1a(10, 5432)
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 hash_fnv1a(10)
\set v1 hash_murmur2(-1, -1)
\set v2 hash(1.5)
\set v3 hash(null)
\set v4 permute(0, 4)
\set v5 permute(-1, 10, 5)
\set v6 permute(123456789, 1000000000000, 77)
\set v7 permute(1, 9223372036854775807, 1)
\set v8 permute(1, 2)
\set v9 permute(5, 1)
\set v10 permute(null, 1)
\set v11 permute(1.5, 10, 1)
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 case when true then 1 end
\set v1 case when false then 1 end
\set v2 case when null then 1 else 2 end
\set v3 case when 0 then 1 when 0.0 then 2 when 0.1 then 3 end
\set v4 CASE WHEN 1>0 THEN CASE WHEN false THEN 1 ELSE 2 END END + 1
\set v5 case when 1 then 1/1 else 1/0 end
\set v6 null and 1/0 = 1
\set v7 false and 1/0 = 1
\set v8 true and null
\set v9 true or 1/0 = 1
\set v10 null or true
\set v11 null is null
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 1 is not true
\set v1 true is not false
\set v2 null = null
\set v3 null + 1
\set v4 null isnull and not null notnull
\set v5 not null
\set v6 random(1, 3) + random(1,3)
\set v7 random(1.4, 3.6)
\set v8 random_gaussian(1, 10, 2)
\set v9 random_zipfian(1, 10, 1.001)
\set v10 random_gaussian(1,10,null)
\set v11 debug(1)
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 1e308 * 10
\set v1 -0.0
\set v2 0.1 + 0.2
\set v3 100000000000000000000.0
\set v4 123456789.123456789
\set v5 1e15
\set v6 1e-5
\set v7 12345678901234567
\set v8 double(9007199254740993)
\set v9 9007199254740993 + 0.0
\set v10 NULL
\set v11 nUlL
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 tRuE
\set v1 CaSe WhEn TrUe ThEn 1 ElSe 2 EnD
\set v2 1 IS NOT NULL
\set v3 1isnull
\set v4 random (1, 3)
\set v5 1 notnull notnull
\set v6 --1
\set v7 1 + -- 2
\set v8 1 # -1
\set v9 5 & -1 | 0
\set v10 10 / 3 / 2
\set v11 10 - 3 - 2
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 2 < 1 or 3 < 4 and not false
\set v1 1 <> 1 is null
\set v2 true is null is false
\set v3 hash_murmur2(9223372036854775807)
\set v4 int(-9223372036854775808.0)
\set v5 int(9223372036854774784.0)
\set v6 1.5 & 2.5
\set v7 1.5 << 1
\set v8 ~1.5
\set v9 ~null
\set v10 -null
\set v11 -1.5
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2|:v3|:v4|:v5|:v6|:v7|:v8|:v9|:v10|:v11');
\set v0 - 2.0
\set v1 +true
\set v2 +null
INSERT INTO drawn (text) VALUES (':v0|:v1|:v2');
