create or replace function aisle.undo_categories(model_id integer) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    applied aisle._applied_categories;
    -- Among several categories of an item, ours is the row that we wrote, whichever counts: it is taken back if it is still there.
    several constant boolean := (select a.declaration #>> '{categories,of_item}' is not null from aisle._attachments a where a.kind = 'items')
                                and not (select w.settings ? 'undo' from aisle._write_back w);
    undone bigint := 0;
begin
    perform aisle._guard();
    perform aisle._refuse_foreign_writes(w.target) from aisle._write_back w;
    if not found then
        raise exception 'Nothing says where categories are written.'
            using errcode = 'AIS02', hint = 'For example: select aisle.set_write_back(''{"column": "category_id", "at_precision": 0.97}'')';
    end if;
    for applied in
        select a.* from aisle._applied_categories a
        join aisle._read_items(array(select u.item_id from aisle._applied_categories u where u.model_id = model_id)) i
            on i.item_id = a.item_id
            -- A category that the shop has deleted since may still stand where it was written.
            and coalesce(several or i.category = a.category,
                         aisle._has_tree() and not exists (select from aisle._category_names() n where n.category = a.category))
        where a.model_id = model_id and a.confirmed_at is null
        order by a.item_id
    loop
        if aisle._unwrite_category(applied.item_id, applied.category, applied.previous) then
            delete from aisle._applied_categories a where a.item_id = applied.item_id;
            undone := undone + 1;
        end if;
    end loop;
    return undone;
end
$function$;

comment on function aisle.undo_categories(integer) is
    'Takes back the categories that Aisle wrote from this model and that nobody confirmed or changed. Returns the number of items.';
