-- Draft vectors of rows that were just written, for the first `draft_rows` rows of a client's statement, from the texts that the
-- trigger saw: nothing is read of the shop's table. A draft that fails, or that would have to wait for a lock, is left to the worker,
-- and so is what comes after it in the statement, and what comes after a quarter of a second that drafts have taken of it. There is none where the
-- shop's statement may last a moment only, nor where its transaction is to be serializable: reading neighbours and writing vectors would
-- make it conflict with every other writer.
create or replace function aisle._draft_items(
    ids text[], names text[], manufacturers text[], categories text[], details text[], draft_rows integer) returns void
language plpgsql volatile
set lock_timeout = '50ms'
as $function$
#variable_conflict use_column
declare
    budget constant double precision := .25;  -- seconds
    slice constant integer := 10;  -- rows
    shortest constant interval := '1 s';  -- statement_timeout
    statement constant text := extract(epoch from statement_timestamp())::text;
    counter constant text[] := string_to_array(current_setting('aisle.drafts', true), '/');  -- statement, rows, seconds
    began constant timestamptz := clock_timestamp();
    changed_rows integer := cardinality(ids);
    spent double precision := 0;
    first integer := 1;
    last integer;
begin
    if current_setting('transaction_isolation') <> 'read committed'
       or current_setting('aisle.waited', true) is not distinct from statement
       or current_setting('statement_timeout')::interval between interval '1 us' and shortest
    then
        return;
    end if;
    -- Row triggers come here once a row: count what the statement has changed so far, and what it took.
    if counter[1] = statement then
        changed_rows := changed_rows + counter[2]::integer;
        spent := counter[3]::double precision;
    end if;
    if changed_rows > draft_rows then
        return;
    end if;
    begin
        while first <= cardinality(ids) and spent + extract(epoch from clock_timestamp() - began) < budget loop
            last := first + slice - 1;
            insert into aisle.item_vectors as stored (model_id, item_id, embedding, content_hash, is_draft, embedded_at)
            select m.model_id, i.item_id, aisle._embed(m.model_id, aisle._ngrams(i.name, i.manufacturer, i.details)),
                   aisle._content_hash(i.name, i.manufacturer, i.details), m.encoder is not null, aisle._now()
            from aisle._live_models live
            join aisle._models m using (model_id)
            cross join unnest(ids[first:last], names[first:last], manufacturers[first:last], details[first:last])
                as i (item_id, name, manufacturer, details)
            where live.task = 'category'
            on conflict (item_id, model_id) do update
                set embedding = excluded.embedding, content_hash = excluded.content_hash, is_draft = excluded.is_draft,
                    embedded_at = excluded.embedded_at
                where stored.content_hash <> excluded.content_hash;
            insert into aisle.item_factors
                (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
            select m.model_id, i.item_id, i.category || (m.parameters ->> 'category_separator'), l.embedding, l.in_embedding,
                   aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category), 'events', aisle._now()
            from unnest(ids[first:last], names[first:last], manufacturers[first:last], categories[first:last], details[first:last])
                as i (item_id, name, manufacturer, category, details)
            join aisle._learned_factors l on l.item_id = i.item_id
            join aisle._models m on m.model_id = l.model_id and m.state in ('filling', 'ready')
            on conflict (item_id, model_id) do nothing;
            insert into aisle.item_factors as stored
                (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
            select recommender.model_id, i.item_id, i.category || (m.parameters ->> 'category_separator'), near.embedding, near.in_embedding,
                   aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category), 'draft', aisle._now()
            from aisle._live_models live
            join aisle._live_models recommender on recommender.task = 'recommender'
            join aisle._models m on m.model_id = recommender.model_id
            cross join unnest(ids[first:last], names[first:last], manufacturers[first:last], categories[first:last], details[first:last])
                as i (item_id, name, manufacturer, category, details)
            join aisle.item_vectors v on v.model_id = live.model_id and v.item_id = i.item_id
            cross join aisle._text_neighbours(recommender.model_id, live.model_id, i.item_id, v.embedding) near
            where live.task = 'category' and near.embedding is not null
              and not exists (select from aisle.item_factors f
                              where f.model_id = recommender.model_id and f.item_id = i.item_id)
            on conflict (item_id, model_id) do nothing;
            first := last + 1;
        end loop;
    exception
        when lock_not_available then
            perform set_config('aisle.waited', statement, true);  -- the rest of the statement does not wait again
        when others then
            raise warning 'Aisle left the draft vectors of this statement to the worker: %', sqlerrm;
    end;
    perform set_config('aisle.drafts', concat_ws(
        '/', statement, changed_rows, spent + extract(epoch from clock_timestamp() - began)), true);
end
$function$;
