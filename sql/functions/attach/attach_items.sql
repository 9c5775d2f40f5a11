-- Points Aisle at the shop's products: a table, or a query over several. Stores what was declared, creates the view aisle._items and the
-- triggers that keep the vectors current. It copies nothing, and no table needs a further column.
create or replace function aisle.attach_items(
    relation text default null, id text default 'id', name text default 'name', manufacturer text default null, category text default null,
    text_columns text[] default '{}', category_separator text default ' > ', draft_rows integer default 100,
    latitude text default null, longitude text default null, query text default null, watch jsonb default '{}',
    eligible text default null, group_column text default null, categories jsonb default null, unlabelled text[] default '{}',
    accept_changes boolean default false, category_list text default null)
returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    declaration jsonb;
    named constant text[] := case when relation is null and query is not null then aisle._columns_of_query(query, 'items') else '{}' end;
    target regclass;
    kind "char";
    has_triggers boolean;
    id_type text;
    columns jsonb;
    places text;
    odd text;
    said text := '';
    n integer;
    is_new constant boolean := not exists (select from aisle._attachments a where a.kind = 'items');
    digits constant integer := substring(category_separator from '^(\d+) digits?$');
begin
    text_columns := coalesce(text_columns, '{}');
    -- A query's columns have these names because they are meant.
    manufacturer := coalesce(manufacturer, case when 'manufacturer' = any (named) then 'manufacturer' end);
    category := coalesce(category, case when 'category' = any (named) and (categories ? 'of_item') is not true then 'category' end);
    text_columns := case when text_columns = '{}' and 'text' = any (named) then array['text'] else text_columns end;
    if latitude is null and longitude is null and named @> array['latitude', 'longitude'] then
        latitude := 'latitude';
        longitude := 'longitude';
    end if;
    declaration := aisle._declaration(jsonb_build_object(
        'relation', relation, 'id', id, 'name', name, 'manufacturer', manufacturer, 'category', category,
        'text_columns', to_jsonb(text_columns), 'category_separator', category_separator, 'draft_rows', draft_rows,
        'latitude', latitude, 'longitude', longitude, 'query', query, 'watch', watch, 'eligible', eligible, 'group_column', group_column,
        'categories', categories, 'unlabelled', to_jsonb(unlabelled), 'category_list', category_list));
    perform aisle._check_attachable('items', declaration, accept_changes);
    if id is null or name is null then
        raise exception 'Name the columns of the id and of the name.' using errcode = 'AIS05';
    elsif coalesce(category_separator, '') = '' then
        raise exception 'category_separator must not be empty.'
            using errcode = 'AIS06', hint = 'It separates the steps of a category path. If categories are no paths, leave it out.';
    elsif draft_rows is null or draft_rows < 0 then
        raise exception 'draft_rows must be at least 0, not %.', coalesce(draft_rows::text, 'null') using errcode = 'AIS06';
    elsif (latitude is null) <> (longitude is null) then
        raise exception 'Name the columns of both latitude and longitude, or neither.' using errcode = 'AIS05';
    elsif categories is not null and (category is null) <> (categories ? 'of_item') then
        raise exception 'The id of an item''s category is in a column (category), or in another table (categories, of_item): name one.'
            using errcode = 'AIS05';
    end if;
    columns := jsonb_build_object('id', id, 'name', name, 'manufacturer', manufacturer, 'category', category, 'text', to_jsonb(text_columns),
                                  'latitude', latitude, 'longitude', longitude);
    select s.target, s.columns, s.group_column into target, columns, group_column
    from aisle._source_of_items(relation, query, columns, eligible, group_column) s;
    select c.relkind into kind from pg_class c where c.oid = target;
    has_triggers := kind in ('r', 'p');
    id_type := aisle._id_type(target, columns ->> 'id');
    select string_agg(format('%I of type %s', c, aisle._column_type(target, c)), ', ') into places
    from unnest(array[columns ->> 'name', columns ->> 'manufacturer', columns ->> 'category']) c
    where aisle._column_type(target, c) ~ $lists$json|\[\]$|^tsvector|^xml$lists$;
    if places is not null then
        raise exception 'A name, a manufacturer or a category must be one text; % has %.', target, places
            using errcode = 'AIS04',
                  hint = 'Name one of its texts, such as name->>''en_US'', or name the column in text_columns, where all of it is read.';
    end if;
    select string_agg(format('%I of type %s', c, aisle._column_type(target, c)), ', ') into places
    from unnest(array[columns ->> 'latitude', columns ->> 'longitude']) c
    where aisle._column_type(target, c) not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision');
    if places is not null then
        raise exception 'Latitude and longitude must be numbers, in degrees; % has %.', target, places using errcode = 'AIS04';
    end if;

    perform aisle._refuse_foreign_code(target);
    if has_triggers and not exists (
        select from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = target and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
          and a.attname = columns ->> 'id')
    then
        raise exception 'Column % of % has no unique index of its own.', quote_ident(id), target
            using errcode = 'AIS04', hint = case
                when exists (select from pg_index i where i.indrelid = target and i.indisprimary and i.indnkeyatts > 1)
                then 'The table has a composite key. Give it a single-column unique id, or attach a view that makes one.'
                else format('create unique index concurrently on %s (%I);', target, id) end;
    elsif not has_triggers then
        execute format('select coalesce(min(d.id), ''null''), count(*) from (select %2$I::text as id from %1$s group by %2$I
                                                                          having count(*) > 1 or %2$I is null limit 1) d',
                       target, columns ->> 'id') into odd, n;
        if n > 0 then
            raise exception 'Column % of % has values that are null or occur twice, such as %.',
                    quote_ident(id), coalesce(relation, 'the query'), odd
                using errcode = 'AIS04', hint = 'Every row needs an id of its own.';
        end if;
    end if;

    insert into aisle._attachments (kind, declaration, relation, id_type, columns, category_separator, category_digits, category_list,
                                    draft_rows, looks_up)
    values ('items', declaration, target, id_type, columns, case when digits is null then category_separator else ' > ' end, digits,
            case when categories is null then coalesce(nullif(category_list, ''), case when category_list is null then
                aisle._guess_category_list(target, columns ->> 'category', category_separator) end) end,
            draft_rows,
            coalesce(eligible, group_column) is not null or query is not null);
    if is_new then
        delete from aisle._applied_categories c
        where c.items is distinct from (select o.relation from aisle._origin(target, columns ->> 'id') o);
    end if;
    if categories is not null then
        perform aisle._create_category_tree(categories);
    end if;
    perform aisle._create_items_view(target, id_type, columns, eligible, group_column,
                                     aisle._label_of(target, columns, categories, coalesce(unlabelled, '{}')));
    perform aisle._note_tables('items');
    perform aisle._note_eligible_share();
    if has_triggers and watch <> '{}' then
        raise exception 'A watch is of a table that a query reads; % is a table.', target using errcode = 'AIS05';
    elsif has_triggers then
        perform aisle._create_item_triggers(target, kind = 'p', columns, draft_rows);
    else
        said := aisle._create_watches('items', target, target, columns ->> 'id', '{}', watch);
    end if;
    if categories is not null then
        said := said || aisle._watch_categories(categories, target, columns);
    end if;
    perform aisle._create_write_back();
    return format('Attached %s.%s%s%s', coalesce(relation, 'the items of the query'), said, aisle._item_evidence(), (
        select string_agg(format(e'\n%s: %s', m.purpose, m.statement), '') from aisle._missing_indexes('items') m));
end
$function$;

comment on function aisle.attach_items(
    text, text, text, text, text, text[], text, integer, text, text, text, jsonb, text, text, jsonb, text[], boolean, text) is
    'Points Aisle at the shop''s products: a table (relation), or a query over several. name, manufacturer, category: a column, or an '
    'expression. text_columns: further texts that models read, such as specifications. draft_rows: statements of up to so many rows '
    'get draft vectors in their own transaction. latitude, longitude: where the item is, in degrees; the recommender reads it. '
    'eligible: a condition that an item must meet to be answered. group_column: where items are variants, what they are variants of. '
    'categories: the table of the categories, whose ids are then the labels. '
    'watch: for a table of the query, the query for the ids that its row r touches. unlabelled: categories that stand for none. '
    'category_separator: what is between the steps of a path, or ''3 digits'' for codes of so many digits a level. category_list: what '
    'separates several categories in one cell, of which the first counts; null: as the cells look, empty: nothing.';
