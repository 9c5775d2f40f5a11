-- How sure a model must be of a category to write it: the threshold of the settings; or the lowest confidence from which on the wanted share
-- of the answers for held-out items were right, for this category, or for all where there are too few. Above 1 if none was.
create or replace function aisle._write_threshold(model_id integer, category text) returns double precision
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    enough constant integer := 30;  -- held-out items that were predicted to be of a category
    settings constant jsonb := (select w.settings from aisle._write_back w);
    wanted constant numeric := (settings ->> 'at_precision')::numeric;
begin
    if settings ? 'threshold' then
        return (settings ->> 'threshold')::double precision;
    end if;
    if not exists (select from aisle._write_thresholds t where t.model_id = model_id and t.precision = wanted) then
        insert into aisle._write_thresholds (model_id, precision, category, threshold)
        select model_id, wanted, s.category, coalesce(min(s.confidence) filter (where s.right_so_far >= wanted), 2)
        from (select a.category, a.confidence, avg(a.is_right::integer) over (partition by a.category order by a.confidence desc) as right_so_far
              from (select h.predicted as category, h.confidence, h.predicted = h.category as is_right
                    from aisle._heldout_predictions h where h.model_id = model_id
                    union all
                    select '', h.confidence, h.predicted = h.category
                    from aisle._heldout_predictions h where h.model_id = model_id) a) s
        group by s.category
        having s.category = '' or count(*) >= enough
        on conflict do nothing;
    end if;
    return coalesce((select t.threshold from aisle._write_thresholds t
                     where t.model_id = model_id and t.precision = wanted and t.category in (category, '')
                     order by t.category = '' limit 1), 2);
end
$function$;
