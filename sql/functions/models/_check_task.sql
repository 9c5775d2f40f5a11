-- Refuses the name of a task that there is not; null stands for all of them.
create or replace function aisle._check_task(task text) returns void
language plpgsql stable parallel safe
as $function$
declare
    tasks constant text[] := '{category,recommender,basket,preference}';
begin
    if task <> all (tasks) then
        raise exception 'There is no task %.', quote_literal(task)
            using errcode = 'AIS06', hint = 'There are: ' || array_to_string(tasks, ', ');
    end if;
end
$function$;
