-- The tasks that a change concerns. Items' are that of categories, and the recommender's once it has a model; any other topic is
-- a task by itself.
create or replace function aisle._tasks_of(topic text) returns text[]
language plpgsql stable parallel safe
as $function$
begin
    return case when topic <> 'items' then array[topic] else array['category'] || array(
        select distinct m.task from aisle._models m where m.task = 'recommender' and m.state in ('filling', 'ready')) end;
end
$function$;
