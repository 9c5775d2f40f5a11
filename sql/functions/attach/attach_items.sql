-- Points Aisle at the shop's table of products: stores the names of the columns, and creates the view aisle._items over them and the
-- triggers that keep the vectors current. It copies nothing, and the table needs no further column.
create or replace function aisle.attach_items(
    relation text, id text, name text, manufacturer text default null, category text default null,
    text_columns text[] default '{}', category_separator text default ' > ', draft_rows integer default 100,
    latitude text default null, longitude text default null)
returns text
language plpgsql volatile
as $function$
declare
    target regclass;
    kind "char";
    has_triggers boolean;
    id_column text := attach_items.id;
    id_type text;
    details text;
    places text;
    -- NaN, infinite and huge numbers become null, so that no cast fails, whatever the columns hold.
    degrees constant text := 'case when $ between -1e-30 and 1e-30 then 0 when $ between -1e9 and 1e9 then $ end';
    watched text[];
    n integer;
begin
    text_columns := coalesce(text_columns, '{}');
    if exists (select from aisle._attachments a where a.kind = 'items') then
        raise exception 'Items are attached already, to %.', (select a.relation from aisle._attachments a where a.kind = 'items')
            using errcode = 'AIS03', hint = 'Detach them first: aisle detach items';
    end if;
    if id_column is null or attach_items.name is null then
        raise exception 'Name the columns of the id and of the name.' using errcode = 'AIS05';
    elsif coalesce(category_separator, '') = '' then
        raise exception 'category_separator must not be empty.'
            using errcode = 'AIS06', hint = 'It separates the steps of a category path. If categories are no paths, leave it out.';
    elsif draft_rows is null or draft_rows < 0 then
        raise exception 'draft_rows must be at least 0, not %.', coalesce(draft_rows::text, 'null') using errcode = 'AIS06';
    elsif (latitude is null) <> (longitude is null) then
        raise exception 'Name the columns of both latitude and longitude, or neither.' using errcode = 'AIS05';
    end if;
    watched := array_remove(array[attach_items.name, manufacturer, category] || text_columns, null);
    target := aisle._relation_to_attach(attach_items.relation, id_column || watched || array[latitude, longitude]);
    select c.relkind into kind from pg_class c where c.oid = target;
    has_triggers := kind in ('r', 'p');
    id_type := aisle._id_type(target, id_column);
    select string_agg(format('%I of type %s', c, aisle._column_type(target, c)), ', ') into places
    from unnest(array[attach_items.name, manufacturer, category]) c
    where aisle._column_type(target, c) ~ $lists$json|\[\]$|^tsvector|^xml$lists$;
    if places is not null then
        raise exception 'A name, a manufacturer or a category must be one text; % has %.', target, places
            using errcode = 'AIS04', hint = 'Name such a column in text_columns, or attach a view that picks one of its texts.';
    end if;
    select string_agg(format('%I of type %s', c, aisle._column_type(target, c)), ', ') into places
    from unnest(array[latitude, longitude]) c
    where aisle._column_type(target, c) not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision');
    if places is not null then
        raise exception 'Latitude and longitude must be numbers, in degrees; % has %.', target, places using errcode = 'AIS04';
    end if;

    perform aisle._refuse_foreign_code(target);
    if has_triggers and not exists (
        select from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = target and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
          and a.attname = id_column)
    then
        raise exception 'Column % of % has no unique index of its own.', quote_ident(id_column), target
            using errcode = 'AIS04', hint = case
                when exists (select from pg_index i where i.indrelid = target and i.indisprimary and i.indnkeyatts > 1)
                then 'The table has a composite key. Give it a single-column unique id, or attach a view that makes one.'
                else format('create unique index concurrently on %s (%I);', target, id_column) end;
    elsif not has_triggers then
        execute format('select count(*) from (select from %s group by %I having count(*) > 1 or %2$I is null limit 1) d',
                       target, id_column) into n;
        if n > 0 then
            raise exception 'Column % of % has values that are null or occur twice.', quote_ident(id_column), target
                using errcode = 'AIS04', hint = 'Every row needs an id of its own.';
        end if;
    end if;

    insert into aisle._attachments (kind, relation, id_type, columns, category_separator, draft_rows)
    values ('items', target, id_type,
            jsonb_build_object('id', id_column, 'name', attach_items.name, 'manufacturer', manufacturer,
                               'category', category, 'text', text_columns, 'latitude', latitude, 'longitude', longitude),
            attach_items.category_separator, attach_items.draft_rows);

    select string_agg(aisle._text_of(target, c, 'i'), ', ') into details from unnest(text_columns) c;
    execute format(
        'create view aisle._items with (security_invoker = true) as
         select i.%1$I::%2$s as id, i.%1$I::text as item_id, %3$s as name, %4$s as manufacturer, %5$s as category,
                %6$s as details, (%8$s)::float8 as latitude, (%9$s)::float8 as longitude
         from %7$s i
         where i.%1$I is not null',
        id_column, id_type, aisle._text_of(target, attach_items.name, 'i'),
        aisle._text_of(target, manufacturer, 'i'),
        format('nullif(%s, %L)', aisle._text_of(target, category, 'i'), ''),
        case when details is null then 'null::text' else format('nullif(concat_ws(%L, %s), %L)', ' ', details, '') end,
        target,
        coalesce(replace(degrees, '$', 'i.' || quote_ident(latitude)), 'null'),
        coalesce(replace(degrees, '$', 'i.' || quote_ident(longitude)), 'null'));
    perform aisle._copy_grants('aisle._attachments', 'aisle._items');

    if not has_triggers then
        return format('Attached %s. It is a view or a foreign table and has no triggers: a worker finds changes by comparing, `aisle embed` at once.', target);
    end if;
    perform aisle._create_item_triggers(
        target, kind = 'p', (select a.columns from aisle._attachments a where a.kind = 'items'), draft_rows);
    return format('Attached %s.', target);
end
$function$;

comment on function aisle.attach_items(text, text, text, text, text, text[], text, integer, text, text) is
    'Points Aisle at the shop''s table of products. text_columns: further texts that models read, such as specifications. '
    'draft_rows: statements of up to so many rows get draft vectors in their own transaction. latitude, longitude: where the item '
    'is, in degrees; the recommender reads it.';
