-- The tasks for which changed rows become jobs: the topic of the log is 'items' or 'orders'. Most tasks need a model for that.
create or replace function aisle._tasks_of(topic text) returns text[]
language plpgsql stable parallel safe
as $function$
begin
    return array(
        select t.task from aisle._tasks t
        where t.follows = topic
          and (t.is_always_queued
               or exists (select from aisle._models m where m.task = t.task and m.state in ('filling', 'ready')))
        order by t.place);
end
$function$;
