-- 100,000 contents and a user for every ten of them, or as many as `SET nova.contents` says before; the
-- same every time: each value is a function of the row's id, whatever order a plan produces the rows in.
-- Takes a few seconds.

BEGIN;

CREATE FUNCTION rows() RETURNS TABLE (users int, contents int)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT greatest(n / 10, 1), n
        FROM (SELECT coalesce(current_setting('nova.contents', true), '100000')::int AS n) AS wanted;
    END;

-- A number from 0 to n - 1 that looks random: always the same for the same id and salt.
CREATE FUNCTION pick(id bigint, salt int, n int) RETURNS int
    LANGUAGE sql IMMUTABLE
    RETURN ((hashint8extended(id, salt) & 1073741823) % n)::int;

-- One of 4,900 words, made of two: so many that a search for one of them finds about 200 contents.
CREATE FUNCTION word(id bigint, salt int) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN ('{amber,apple,ash,autumn,barley,bell,birch,black,blue,bramble,bridge,bright,broad,brook,cedar,chalk,cherry,clay,clear,cliff,cloud,clover,coal,copper,coral,crow,dawn,deep,dew,dusk,eagle,elder,ember,fern,field,fire,flint,fog,forest,fox,frost,gold,grass,green,hare,harvest,hawk,hazel,heather,honey,ice,iron,ivory,lake,lark,lime,linen,maple,marsh,meadow,mill,mist,moon,moss,night,north,oak,ocean,olive,orchard}'::text[])
            [1 + pick(id, 2 * salt, 70)]
        || ('{bank,barn,bay,beam,bird,boat,bow,branch,brook,castle,cave,coast,cove,crest,crown,dale,door,drift,fall,farm,field,ford,forge,gate,glen,grove,guard,hall,harbor,haven,hill,hollow,horn,house,island,keeper,lamp,land,leaf,light,mark,mill,path,peak,pier,point,pond,pool,port,rest,ridge,road,rock,root,sand,seed,shade,shore,song,spring,star,stone,stream,tower,trail,vale,wall,watch,well,wood}'::text[])
            [1 + pick(id, 2 * salt + 1, 70)];

-- The password of every user is "nova". Its hash has the smallest parameters argon2 allows, so that
-- a login costs the gateway microseconds. Never store a real password that way.
INSERT INTO users (id, username, password_hash)
SELECT id, 'user' || id, '$argon2id$v=19$m=8,t=1,p=1$cG9vbGJlbmNoIG9mIG5vdmE$yZ5vYCWRmu4MV24141mSssnRo9JmyleU1h7ustn2mrM'
FROM rows(), generate_series(1, users) AS id;

INSERT INTO profiles (user_id, bio, location)
SELECT id,
       'Writes about the ' || word(id, 1) || ' and the ' || word(id, 2) || '.',
       initcap(word(id, 3))
FROM rows(), generate_series(1, users) AS id;

-- Around the words there are stop words only: no search finds everything.
INSERT INTO contents (id, author_id, title, body, created_at)
SELECT id,
       1 + pick(id, 0, users),
       'The ' || word(id, 1) || ' of ' || word(id, 2),
       'From ' || word(id, 3) || ' to ' || word(id, 4) || ' it was all ' || word(id, 5)
           || '. Then, just over the ' || word(id, 6) || ', there were ' || word(id, 7)
           || ' and ' || word(id, 8) || ', but no ' || word(id, 9) || '.',
       timestamptz '2026-01-01 00:00:00+00' + id * interval '1 second'
FROM rows(), generate_series(1, contents) AS id;

-- New rows go on where the seed ends.
SELECT setval(pg_get_serial_sequence('users', 'id'), users),
       setval(pg_get_serial_sequence('contents', 'id'), contents)
FROM rows();

DROP FUNCTION word, pick, rows;

ALTER TABLE contents ADD FOREIGN KEY (author_id) REFERENCES users;
CREATE INDEX contents_newest ON contents (created_at DESC, id DESC);
-- Without fastupdate: a list of pending entries would make a search the slower, the more contents
-- were created before it.
CREATE INDEX contents_search ON contents USING gin (search) WITH (fastupdate = off);

COMMIT;

ANALYZE users, profiles, contents;
