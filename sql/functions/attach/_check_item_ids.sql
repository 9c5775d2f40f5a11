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
    other regclass;
    checked bigint;
    known bigint;
    is_half boolean;
    share text;
begin
    select a.relation, a.columns ->> 'id' into items, items_id from aisle._attachments a where a.kind = 'items';
    if items is null then
        return null;
    end if;
    select c.confrelid into other
    from pg_constraint c
    join pg_attribute a on a.attrelid = c.conrelid and a.attname = item_id
    where c.conrelid = relation and c.contype = 'f' and c.conkey = array[a.attnum] and c.confrelid <> items
          and (select i.relkind in ('r', 'p') from pg_class i where i.oid = items)
          -- The items may share their key with the table that the rows refer to.
          and not exists (select from pg_constraint k
                          join pg_attribute ka on ka.attrelid = k.conrelid and ka.attname = items_id
                          where k.conrelid = items and k.contype = 'f' and k.conkey = array[ka.attnum] and k.confrelid = c.confrelid)
          and not exists (select from pg_constraint k
                          where k.conrelid = relation and k.contype = 'f' and k.conkey = c.conkey and k.confrelid = items)
    limit 1;
    if other is not null and not accept_item_ids then
        raise exception 'Column % of % refers to %, but the attached items are %.', quote_ident(item_id), relation, other, items
            using errcode = 'AIS04',
                  hint = 'Attach a view that has the items'' ids. If they are these ids all the same: accept_item_ids (--accept-item-ids)';
    end if;
    begin
        select s.checked, s.known, s.is_half into checked, known, is_half from aisle._item_share(kind) s;
    exception when others then
        return format(e'\nIts rows cannot be read: %s.', sqlerrm);
    end;
    if checked = 0 then
        return null;
    end if;
    share := format('%s of %s rows (%s %%) are about an attached item.',
                    to_char(known, 'FM999,999,999'), to_char(checked, 'FM999,999,999'), round(100.0 * known / checked));
    if not is_half and not accept_item_ids then
        raise exception 'Only %', share
            using errcode = 'AIS04',
                  hint = format('Is %I the column of the ids of %s? If so: accept_item_ids (--accept-item-ids)', item_id, items);
    end if;
    return e'\n' || share;
end
$function$;
