-- Returns the table or view of this name, in `public` if the name has no schema, and checks that it has these columns. A table that gets
-- triggers must not have children by inheritance: their rows fire none of its triggers, and each child may hold the same id.
create or replace function aisle._relation_to_attach(relation text, columns text[], triggers boolean default true) returns regclass
language plpgsql stable
as $function$
declare
    target regclass;
    missing text;
    children text;
begin
    target := aisle._relation_named(relation);
    if target is null then
        raise exception 'There is no relation %.', relation
            using errcode = 'AIS04', hint = 'Name it as SCHEMA.TABLE; put names with capitals or signs in double quotes.';
    elsif (select c.relkind not in ('r', 'p', 'v', 'm', 'f') from pg_class c where c.oid = target) then
        raise exception '% is not a table or view.', target using errcode = 'AIS04';
    end if;
    select string_agg(quote_ident(c), ', ') into missing
    from unnest(columns) c
    where c is not null and not exists (
        select from pg_attribute a where a.attrelid = target and a.attname = c and a.attnum > 0 and not a.attisdropped);
    if missing is not null then
        raise exception '% has no column %.', target, missing
            using errcode = 'AIS05', hint = (
                select 'Its columns: ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                from pg_attribute a where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
    end if;
    select string_agg(i.inhrelid::regclass::text, ', ' order by i.inhseqno, i.inhrelid::regclass::text) into children
    from pg_inherits i
    join pg_class c on c.oid = i.inhparent and c.relkind = 'r'
    where triggers and i.inhparent = target;
    if children is not null then
        raise exception '% has children by inheritance: %. Triggers do not see their rows, and ids are not unique among them.',
            target, children
            using errcode = 'AIS04', hint = format('Attach a view of all rows, or of the table''s own: create view … as select * from only %s;',
                                                   target);
    end if;
    return target;
end
$function$;
