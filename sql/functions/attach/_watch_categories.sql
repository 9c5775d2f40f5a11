-- Watches what decides the category of an item beside its own row: the table that leads from items to categories, and the categories, but
-- for their names. Returns what it did, for people.
create or replace function aisle._watch_categories(categories jsonb, target regclass, columns jsonb) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    settings record := aisle._category_settings(categories);
    items_of text;
    relation regclass;
    read text[];
    query text;
    said text := '';
begin
    if settings.via is not null then
        items_of := format('select j.%I from %s j where j.%I = r.%I', settings.via_item, settings.via, settings.via_category, settings.roles ->> 'id');
    elsif (select c.relkind in ('r', 'p') from pg_class c where c.oid = target) then
        items_of := format('select i.%I from %s i where i.%I = r.%I', columns ->> 'id', target, columns ->> 'category', settings.roles ->> 'id');
    end if;
    for relation, read, query in
        select settings.via, array[settings.via_item, settings.via_category] || (categories ->> 'prefer'), format('select r.%I', settings.via_item)
        where settings.via is not null
        union all
        select settings.target, array(
                   select c.name from aisle._base_tables('aisle._category_nodes') b, unnest(b.columns) c (name)
                   where b.relation = settings.target and c.name is distinct from settings.roles ->> 'name'), items_of
        where items_of is not null
    loop
        begin
            if (select c.relkind in ('r', 'p') from pg_class c where c.oid = relation) then
                perform aisle._create_watch('items', relation, read, query);
                continue;
            end if;
        exception when insufficient_privilege or undefined_function then  -- ids of two types that PostgreSQL does not compare
        end;
        update aisle._attachments a set unwatched = a.unwatched || relation where a.kind = 'items' and relation <> all (a.unwatched);
        said := said || format(e'\nNothing tells of changes in %s. A worker finds them by comparing, `aisle embed` at once.', relation);
    end loop;
    return said;
end
$function$;
