-- Says what to do where the rows of a kind cannot be read at present, or where a migration gave a table's name to another one, so that the
-- rows are those of the former.
create or replace function aisle._check_source(source aisle._attachments) returns void
language plpgsql stable parallel safe
as $function$
begin
    if source.is_paused then
        raise exception 'The % are paused.', source.kind
            using errcode = 'AIS02', hint = format('When the migration is done: select aisle.resume(%L)', source.kind);
    elsif to_regclass('aisle._' || source.kind) is null and not source.declaration ? 'query'
          and not exists (select from pg_class c where c.oid = source.relation)
    then
        raise exception 'The attached table no longer exists.'
            using errcode = 'AIS02', hint = format('aisle detach %1$s; if there is another of that name: aisle resume %1$s', source.kind);
    elsif to_regclass('aisle._' || source.kind) is null then
        raise exception 'Aisle''s view of the % is gone.', source.kind
            using errcode = 'AIS02', hint = format('After a migration: select aisle.resume(%L)', source.kind);
    elsif exists (
        select from unnest(source.reads, source.read_names) r (relation, name)
        -- A lookup of each: a join would read the catalogue's tables as a whole.
        where (select format('%s.%I', c.relnamespace::regnamespace, c.relname) from pg_class c where c.oid = r.relation) <> r.name
          and exists (select from pg_class o join pg_namespace m on m.oid = o.relnamespace
                      where format('%I.%I', m.nspname, o.relname) = r.name))
    then
        raise warning 'Another table has the name of one that the % are read from; the former still answers.', source.kind
            using hint = format('After a migration: select aisle.resume(%L)', source.kind);
    end if;
end
$function$;
