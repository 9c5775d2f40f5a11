-- Writes draft vectors of some rows, as aisle._draft_items says.
create or replace function aisle._draft_slice(
    ids text[], names text[], manufacturers text[], categories text[], details text[]) returns void
language plpgsql volatile
as $function$
#variable_conflict use_column
begin
    insert into aisle.item_vectors as stored (model_id, item_id, embedding, content_hash, is_draft, embedded_at)
    select m.model_id, i.item_id, aisle._embed(m.model_id, aisle._ngrams(i.name, i.manufacturer, i.details)),
           aisle._content_hash(i.name, i.manufacturer, i.details), m.encoder is not null, aisle._now()
    from aisle._live_models live
    join aisle._models m using (model_id)
    cross join unnest(ids, names, manufacturers, details) i (item_id, name, manufacturer, details)
    where live.task = 'category'
    on conflict (item_id, model_id) do update
        set embedding = excluded.embedding, content_hash = excluded.content_hash, is_draft = excluded.is_draft,
            embedded_at = excluded.embedded_at
        where stored.content_hash <> excluded.content_hash;
    -- An item that moved to another category is recommended there, and no longer where it was.
    update aisle.item_factors f
    set category_key = i.category || (m.parameters ->> 'category_separator')
    from unnest(ids, categories) i (item_id, category), aisle._models m
    where f.item_id = i.item_id and m.model_id = f.model_id
          and f.category_key is distinct from i.category || (m.parameters ->> 'category_separator');
    insert into aisle.item_factors
        (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
    select m.model_id, i.item_id, i.category || (m.parameters ->> 'category_separator'), l.embedding, l.in_embedding,
           aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category), 'events', aisle._now()
    from unnest(ids, names, manufacturers, categories, details) i (item_id, name, manufacturer, category, details)
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
    cross join unnest(ids, names, manufacturers, categories, details) i (item_id, name, manufacturer, category, details)
    join aisle.item_vectors v on v.model_id = live.model_id and v.item_id = i.item_id
    cross join aisle._text_neighbours(recommender.model_id, live.model_id, i.item_id, v.embedding) near
    where live.task = 'category' and near.embedding is not null
      and not exists (select from aisle.item_factors f
                      where f.model_id = recommender.model_id and f.item_id = i.item_id)
    on conflict (item_id, model_id) do nothing;
end
$function$;
