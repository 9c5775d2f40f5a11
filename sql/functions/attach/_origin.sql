-- The table and the column that a view's column shows unchanged; nulls if it is computed. PostgreSQL notes it in the view's rule, where
-- queries within the view come first.
create or replace function aisle._origin(inout relation regclass, inout column_name text)
language plpgsql stable
as $function$
declare
    written text;
    origin text[];
begin
    while (select c.relkind = 'v' from pg_class c where c.oid = relation) loop
        -- The rule has a backslash before each special sign of a name; so has the pattern, before each of these.
        written := regexp_replace(regexp_replace(column_name, '([^[:alnum:]_])', '\\\1', 'g'), '([^[:alnum:]_])', '\\\1', 'g');
        select f.found into origin
        from pg_rewrite w
        cross join lateral regexp_matches(
            w.ev_action::text, format(':resname %s :ressortgroupref \d+ :resorigtbl (\d+) :resorigcol (\d+) ', written), 'g')
            with ordinality f (found, place)
        where w.ev_class = relation
        order by f.place desc
        limit 1;
        select a.attrelid::regclass, a.attname into relation, column_name
        from pg_attribute a where a.attrelid = origin[1]::oid and a.attnum = origin[2]::smallint;
    end loop;
end
$function$;
