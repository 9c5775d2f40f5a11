-- Returns the tasks for which changed rows become jobs. A topic 'items' or 'orders' concerns all tasks that follow these rows; most of
-- them need a model first. Any other topic is the name of a task, whose rows are not the shop's.
create or replace function aisle._tasks_of(topic text) returns text[]
language plpgsql stable parallel safe
as $function$
begin
    if topic not in ('items', 'orders') then
        -- What was logged for a watch that is gone concerns nobody.
        return case when starts_with(topic, 'watch_') then '{}' else array[topic] end;
    end if;
    return array(
        select t.task from aisle._tasks t
        where t.follows = topic
          and (t.is_always_queued
               or exists (select from aisle._models m where m.task = t.task and m.state in ('filling', 'ready')))
        order by t.place);
end
$function$;
