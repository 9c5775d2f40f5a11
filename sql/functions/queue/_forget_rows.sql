-- Removes what was derived from some rows that are gone: items, or customers of whom no order is left (kind 'orders').
create or replace function aisle._forget_rows(kind text, ids text[]) returns void
language plpgsql volatile
as $function$
declare
    followed aisle._tasks;
begin
    if kind = 'items' then
        perform aisle._forget_items(ids);
        return;
    end if;
    for followed in select * from aisle._tasks t where t.follows = kind loop
        execute format('delete from aisle.%I v where v.%I = any ($1)', followed.row_vectors, followed.key_column) using ids;
    end loop;
end
$function$;
