-- The n-grams of an item: words (=w), pairs of neighbouring words (a+b), the manufacturer as a whole (@m) and with each word of the name
-- (@m*w), and the characters of each padded word in runs of 3 to 5 (2 to 5 in scripts of syllables or ideographs). Where a script of
-- syllables or ideographs is used, spaces come and go, so runs of 2 to 4 characters of the name without spaces (#r) are n-grams, too. An
-- n-gram may come twice; it counts once. Training calls this function, too, so training and serving cannot drift apart. It uses loops, because they take
-- a fifth of the time of one query that does the same.
create or replace function aisle._ngrams(name text, manufacturer text, details text) returns text[]
language plpgsql immutable parallel safe
as $function$
declare
    maker_words text[] := aisle._words(manufacturer);
    name_words text[] := aisle._words(name);
    maker text := '@' || array_to_string(maker_words, ' ');
    grams text[] := '{}';
    word text;
    previous text;
    padded text;
    joined constant text := array_to_string(name_words, '');
begin
    if maker <> '@' then
        grams[1] := maker;
        foreach word in array name_words loop
            grams[cardinality(grams) + 1] := maker || '*' || word;
        end loop;
    end if;
    foreach word in array maker_words || name_words || aisle._words(details) loop
        grams[cardinality(grams) + 1] := '=' || word;
        if previous is not null then
            grams[cardinality(grams) + 1] := previous || '+' || word;
        end if;
        previous := word;
        padded := ' ' || word || ' ';
        for size in case when word ~ $syllables$[\u1100-\U0010ffff]$syllables$ then 2 else 3 end .. 5 loop
            for start in 1..length(padded) - size + 1 loop
                grams[cardinality(grams) + 1] := substr(padded, start, size);
            end loop;
        end loop;
    end loop;
    if joined ~ $syllables$[\u1100-\U0010ffff]$syllables$ then
        for size in 2..4 loop
            for start in 1..length(joined) - size + 1 loop
                grams[cardinality(grams) + 1] := '#' || substr(joined, start, size);
            end loop;
        end loop;
    end if;
    return grams;
end
$function$;
