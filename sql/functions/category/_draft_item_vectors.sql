-- Writes the vectors of new or changed items for the live category model, from their n-grams. They are drafts where the model has an
-- encoder, until the worker has been there.
create or replace function aisle._draft_item_vectors(ids text[], names text[], manufacturers text[], details text[]) returns void
language plpgsql volatile
as $function$
#variable_conflict use_column
begin
    insert into aisle.item_vectors as stored (model_id, item_id, embedding, content_hash, is_draft, embedded_at)
    select m.model_id, i.item_id, aisle._embed(m.model_id, aisle._ngrams(i.name, i.manufacturer, i.details)),
           aisle._content_hash(i.name, i.manufacturer, i.details), m.encoder is not null, aisle._now()
    from aisle._live_models live
    join aisle._models m using (model_id)
    cross join unnest(ids, names, manufacturers, details) as i (item_id, name, manufacturer, details)
    where live.task = 'category'
    on conflict (item_id, model_id) do update
        set embedding = excluded.embedding, content_hash = excluded.content_hash, is_draft = excluded.is_draft,
            embedded_at = excluded.embedded_at
        where stored.content_hash <> excluded.content_hash;
end
$function$;
