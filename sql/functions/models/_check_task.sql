-- Refuses the name of a task that does not exist; null stands for all tasks.
create or replace function aisle._check_task(task text) returns void
language plpgsql stable parallel safe
as $function$
begin
    if task is not null and not exists (select from aisle._tasks t where t.task = _check_task.task) then
        raise exception 'There is no task %.', quote_literal(task)
            using errcode = 'AIS06', hint = (select 'There are: ' || string_agg(t.task, ', ' order by t.place) from aisle._tasks t);
    end if;
end
$function$;
