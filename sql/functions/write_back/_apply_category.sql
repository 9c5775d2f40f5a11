-- Predicts the category of an item that has none, and writes it if the model is sure enough. An error of the shop's database, such as that of
-- a foreign key, undoes this item's write and is returned as its problem.
create or replace function aisle._apply_category(
    item_id text, model_id integer, dry_run boolean,
    out category text, out confidence double precision, out category_id text, out is_written boolean, out problem text, out is_error boolean)
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    query constant @vector@.vector := aisle._item_vector(model_id, item_id);
    label text;
    threshold double precision;
    previous text;
    unlabelled constant jsonb := (select a.declaration -> 'unlabelled' from aisle._attachments a where a.kind = 'items');
    stands_for_none boolean;
begin
    is_written := false;
    is_error := false;
    select a.category, a.confidence, a.category_id into category, confidence, category_id
    from aisle._answer_categories(model_id, query, 1, null) a
    where query is not null;
    label := coalesce(category_id, category);
    if label is null then
        problem := 'the model knows no category for it';
        return;
    end if;
    -- Declared after the model had learned it.
    stands_for_none := coalesce(unlabelled ? label, false);
    if category_id is not null and unlabelled is not null and not stands_for_none then
        stands_for_none := exists (select from aisle._category_nodes n where n.category_id = label and unlabelled ? n.name);
    end if;
    threshold := aisle._write_threshold(model_id, label);
    if stands_for_none then
        problem := 'the model says a category that means none';
    elsif confidence < threshold then
        problem := 'not sure enough';
    elsif not dry_run then
        begin
            select w.is_written, w.previous into is_written, previous from aisle._write_category(item_id, label) w;
            if is_written then
                perform aisle._check_constraints_now((select w.target from aisle._write_back w));
                insert into aisle._applied_categories as stored (item_id, items, category, model_id, confidence, previous, applied_at)
                select item_id, o.relation, label, model_id, confidence, nullif(previous, ''), aisle._now()
                from aisle._attachments a, aisle._origin(a.relation, a.columns ->> 'id') o
                where a.kind = 'items'
                on conflict on constraint _applied_categories_pkey do update
                    set items = excluded.items, category = excluded.category, model_id = excluded.model_id, confidence = excluded.confidence,
                        previous = excluded.previous, applied_at = excluded.applied_at, confirmed_at = null, confirmed_by = null;
            else
                problem := 'it has a category, be it one that does not count';
            end if;
        exception when others then
            is_written := false;
            is_error := true;
            problem := sqlerrm;
        end;
    end if;
end
$function$;
