-- Says how many of the attached rows are about an attached item. Refuses ids of something else, such as variants: numbers of one table look
-- like those of another, and a model would learn of wrong items without an error. It refuses a foreign key that leads to another table, and
-- rows of which less than half are about an attached item.
create or replace function aisle._check_item_ids(kind text, relation regclass, item_id text, accept_item_ids boolean) returns text
language plpgsql stable
as $function$
#variable_conflict use_variable
declare
    items regclass;
    items_id text;
    referring regclass;
    referring_column text;
    other regclass;
    other_id text;
    via text;
    checked bigint;
    known bigint;
    is_half boolean;
    counting bigint;
    share text;
    declared regclass;
    is_chosen boolean;
    has_rows boolean;
begin
    if not exists (select from aisle._attachments a where a.kind = 'items') then
        return null;
    end if;
    perform aisle._check_source(a) from aisle._attachments a where a.kind = 'items';
    -- Through views, to the tables that have foreign keys.
    select o.relation, o.column_name into items, items_id
    from aisle._attachments a, aisle._origin(a.relation, a.columns ->> 'id') o where a.kind = 'items';
    select o.relation, o.column_name into referring, referring_column from aisle._origin(relation, item_id) o;
    select c.confrelid, k.attname into other, other_id
    from pg_constraint c
    join pg_attribute a on a.attrelid = c.conrelid and a.attname = referring_column
    join pg_attribute k on k.attrelid = c.confrelid and k.attnum = c.confkey[1]
    where c.conrelid = referring and c.contype = 'f' and c.conkey = array[a.attnum] and c.confrelid <> items
          -- The items may share their key with the table that the rows refer to.
          and not exists (select from pg_constraint k
                          join pg_attribute ka on ka.attrelid = k.conrelid and ka.attname = items_id
                          where k.conrelid = items and k.contype = 'f' and k.conkey = array[ka.attnum] and k.confrelid = c.confrelid)
          and not exists (select from pg_constraint k
                          where k.conrelid = referring and k.contype = 'f' and k.conkey = c.conkey and k.confrelid = items)
    limit 1;
    if other is not null and not accept_item_ids then
        select format('Declare what leads from there to the items: item_via => ''%s(%I → %I)''', other, other_id, a.attname) into via
        from pg_constraint c
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        where c.conrelid = other and c.confrelid = items and c.contype = 'f' and cardinality(c.conkey) = 1
        limit 1;
        raise exception 'Column % of % refers to %, but the attached items are %.', quote_ident(referring_column), referring, other, items
            using errcode = 'AIS04',
                  hint = coalesce(via, 'Attach a query or a view that has the items'' ids')
                         || '. If they are these ids all the same: accept_item_ids (--accept-item-ids)';
    end if;
    begin
        select s.checked, s.known, s.is_half into checked, known, is_half from aisle._item_share(kind) s;
        execute format('select count(*) from (select from aisle.%I e limit 100000) e', '_' || kind) into counting;
    exception
        when data_exception then
            if not exists (select from aisle._attachments a where a.kind = kind and a.declaration ?| array['quantity', 'counts']) then
                return format(e'\nIts rows cannot be read: %s.', sqlerrm);
            end if;
            raise exception 'The rows of the % cannot be read: %.', kind, sqlerrm
                using errcode = 'AIS06', hint = 'Look at what was declared: quantity, counts, the query.';
        when others then
            return format(e'\nIts rows cannot be read: %s.', sqlerrm);
    end;
    if counting = 0 and (checked = 0 or known > 0) then
        select a.declared[1], a.declaration ?| array['counts', 'item_via'] into declared, is_chosen
        from aisle._attachments a where a.kind = kind;
        if is_chosen and declared is not null then
            execute format('select exists (select from %s)', declared) into has_rows;
        end if;
        if has_rows and not accept_item_ids then
            raise exception 'Not one row of % counts.', declared
                using errcode = 'AIS04', hint = 'Look at counts and item_via. If it is so all the same: accept_item_ids (--accept-item-ids)';
        end if;
        return case when is_chosen or declared is null then e'\nNot one row counts so far.' end;
    end if;
    share := format('%s of %s rows (%s %%) are about an attached item.',
                    to_char(known, 'FM999,999,999'), to_char(checked, 'FM999,999,999'), round(100.0 * known / checked));
    if not is_half and not accept_item_ids then
        raise exception 'Only %', share
            using errcode = 'AIS04',
                  hint = format('Is %s the column of the ids of %s? If so: accept_item_ids (--accept-item-ids)',
                                coalesce(quote_ident(referring_column), 'that'), coalesce(items::text, 'the items'));
    end if;
    return e'\n' || share;
end
$function$;
