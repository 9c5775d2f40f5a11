-- Removes what was derived from rows that are gone, unless a job or an entry of the log waits that will do so; returns how many rows had
-- left something behind.
create or replace function aisle._forget_unnoticed(task text, ids text[]) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    followed constant aisle._tasks := (select t from aisle._tasks t where t.task = task);
    kind constant text := followed.follows;
    gone constant text[] := array(
        select g.id from unnest(ids) g (id)
        where not exists (select from aisle._embedding_jobs j where j.task = task and j.id = g.id)
          and not exists (
              select from aisle._changes c
              where c.topic = kind and (g.id = any (c.ids) or c.ids = '{}') or c.topic in (select w.topic from aisle._watches w where w.kind = kind)));
    forgotten bigint;
begin
    execute format('select count(distinct v.%1$I) from aisle.%2$I v where v.%1$I = any ($1)', followed.key_column, followed.row_vectors)
    into forgotten using gone;
    perform aisle._forget_rows(kind, gone);
    return forgotten;
end
$function$;
