-- Reads the rows of some ids, items or customers, as far as they exist, each with the hash of all that a model of the task reads of it.
create or replace function aisle._read_rows(task text, ids text[])
returns table (id text, content_hash bytea)
language plpgsql stable parallel safe
as $function$
declare
    followed aisle._tasks := (select t from aisle._tasks t where t.task = _read_rows.task);
begin
    if followed.follows = 'items' then
        return query
            select i.item_id, case when followed.reads_category then aisle._factor_hash(i.content_hash, i.category) else i.content_hash end
            from aisle._read_items(ids) i;
    else
        return query select c.user_id, c.content_hash from aisle._read_customers(ids) c;
    end if;
end
$function$;
