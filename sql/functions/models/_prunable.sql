-- The models that nobody needs. These are all but the following, of each task: the `keep` that answered last and were not rolled back, of
-- which the first is live; the `keep` newest that are ready; and the category models whose n-gram vectors one of these needs to read
-- texts. Models that a training run is still loading are among them: aisle.prune leaves these out.
create or replace function aisle._prunable(task text, keep integer) returns setof aisle._models
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
begin
    return query
        with answered as (
            select d.model_id, row_number() over (partition by d.task order by max(d.deployment_id) desc) as place
            from aisle._deployments d where d.rolled_back_at is null
            group by d.task, d.model_id
        ), ready as (
            select m.model_id, row_number() over (partition by m.task order by m.model_id desc) as place
            from aisle._models m where m.state = 'ready'
        ), kept as (
            select a.model_id from answered a where a.place <= keep
            union
            select r.model_id from ready r where r.place <= keep
        )
        select m.*
        from aisle._models m
        where (_prunable.task is null or m.task = _prunable.task)
              and m.model_id not in (select k.model_id from kept k)
              and m.model_id not in (
                  select (r.parameters ->> 'text_model')::integer from aisle._models r join kept k using (model_id)
                  where r.parameters ->> 'text_model' is not null)
        order by m.model_id;
end
$function$;
