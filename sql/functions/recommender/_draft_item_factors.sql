-- Writes the recommender's vectors of new items: those that it learned, if the item was there before; else, for the live recommender,
-- drafts from the items whose texts are most alike, until the worker has been there. They come after _draft_item_vectors, whose vectors
-- they read.
create or replace function aisle._draft_item_factors(
    ids text[], names text[], manufacturers text[], categories text[], details text[]) returns void
language plpgsql volatile
as $function$
#variable_conflict use_column
begin
    insert into aisle.item_factors
        (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
    select m.model_id, i.item_id, i.category || (m.parameters ->> 'category_separator'), l.embedding, l.in_embedding,
           aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category), 'events', aisle._now()
    from unnest(ids, names, manufacturers, categories, details) as i (item_id, name, manufacturer, category, details)
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
    cross join unnest(ids, names, manufacturers, categories, details) as i (item_id, name, manufacturer, category, details)
    join aisle.item_vectors v on v.model_id = live.model_id and v.item_id = i.item_id
    cross join aisle._text_neighbours(recommender.model_id, live.model_id, i.item_id, v.embedding) near
    where live.task = 'category' and near.embedding is not null
      and not exists (select from aisle.item_factors f
                      where f.model_id = recommender.model_id and f.item_id = i.item_id)
    on conflict (item_id, model_id) do nothing;
end
$function$;
