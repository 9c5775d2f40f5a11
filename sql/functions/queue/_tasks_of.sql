-- The tasks for which changed rows become jobs. The topic of the log is 'items' or 'orders', and most tasks need a model for that; or it is
-- a task, whose rows are no rows of the shop's.
create or replace function aisle._tasks_of(topic text) returns text[]
language plpgsql stable parallel safe
as $function$
begin
    if topic not in ('items', 'orders') then
        return array[topic];
    end if;
    return array(
        select t.task from aisle._tasks t
        where t.follows = topic
          and (t.is_always_queued
               or exists (select from aisle._models m where m.task = t.task and m.state in ('filling', 'ready')))
        order by t.place);
end
$function$;
