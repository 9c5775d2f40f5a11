-- Refuses a context that can only be a mistake: one that is no object, or a name that is neither an attached column nor taken from the
-- time nor known to the model. A value that the model never saw is no mistake: it adds nothing.
create or replace function aisle._check_context(model_id integer, context jsonb) returns void
language plpgsql stable parallel safe
as $function$
declare
    known text[];
    unknown text;
begin
    if context is null or context = '{}' then
        return;
    elsif jsonb_typeof(context) <> 'object' then
        raise exception 'context must be an object, not %.', jsonb_typeof(context)
            using errcode = 'AIS06', hint = 'For example: ''{"meal_time": "lunch"}''';
    end if;
    known := array['hour', 'weekday', 'meal_slot']
        || array(select jsonb_array_elements_text((aisle._event_source()).columns -> 'context'))
        || array(select distinct c.feature from aisle.context_vectors c where c.model_id = _check_context.model_id and c.feature <> '');
    select string_agg(quote_literal(name), ', ') into unknown from jsonb_object_keys(context) name where name <> all (known);
    if unknown is not null then
        raise exception 'There is no context %.', unknown
            using errcode = 'AIS06', hint = (select 'There are: ' || string_agg(distinct name, ', ') from unnest(known) name);
    end if;
end
$function$;
