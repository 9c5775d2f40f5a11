-- Watches the tables below a view of ours: by the known queries, by the declared ones, else by what the joins of the source tell. `source`
-- and `ids`: the table or view, and its column, in which the ids of items or customers are. Notes the tables of whose changes nothing tells
-- all, and returns what it did, for people.
create or replace function aisle._create_watches(kind text, view regclass, source regclass, ids text, known jsonb, declared jsonb) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    bases constant regclass[] := array(select b.relation from aisle._base_tables(view) b);
    root regclass;
    root_column text;
    base record;
    name text;
    query text;
    unwatched regclass[] := '{}';
    said text := '';
begin
    for name in select jsonb_object_keys(declared) loop
        if aisle._relation_to_attach(name, '{}', triggers => false) <> all (bases) then
            raise exception 'The source of % does not read %, which is to be watched.', kind, name
                using errcode = 'AIS05', hint = 'It reads: ' || array_to_string(bases, ', ');
        end if;
    end loop;
    select o.relation, o.column_name into root, root_column from aisle._origin(source, ids) o;
    for base in select b.relation, b.columns, c.relkind from aisle._base_tables(view) b join pg_class c on c.oid = b.relation order by 1 loop
        name := (select d from jsonb_object_keys(declared) d where aisle._relation_to_attach(d, '{}', triggers => false) = base.relation);
        query := coalesce(declared ->> name, case when name is null then known ->> base.relation::text end);
        if name is not null and coalesce(query, '') = '' then
            said := said || format(e'\nNot watched, as declared: %s.', base.relation);
            continue;
        end if;
        if query is null and root is not null then
            query := aisle._derive_watch(base.relation, root, root_column, source);
            -- Some of what its rows touch may not be told by joins.
            if exists (select from aisle._joins(source, root) j where j.one = base.relation and j.other is null) then
                unwatched := unwatched || base.relation;
            end if;
        end if;
        if query is null or base.relkind not in ('r', 'p') then
            unwatched := array_remove(unwatched, base.relation) || base.relation;
            continue;
        end if;
        begin
            perform aisle._create_watch(kind, base.relation, base.columns, query);
            if not known ? base.relation::text then
                said := said || format(e'\nWatches %s%s: %s', base.relation, case when name is null then ' (derived)' end, query);
            end if;
        exception when insufficient_privilege then  -- only a table's owner may create triggers
            unwatched := array_remove(unwatched, base.relation) || base.relation;
        end;
    end loop;
    update aisle._attachments a set unwatched = unwatched where a.kind = kind;
    if unwatched <> '{}' then
        said := said || format(
            e'\nNothing tells of all changes in %s. Declare which ids a changed row touches (watch), or call aisle.changed(%L, ids); else a '
            'worker finds changes by comparing, `aisle embed` at once.', array_to_string(unwatched, ', '), kind);
    end if;
    return said;
end
$function$;
