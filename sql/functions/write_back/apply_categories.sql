create or replace function aisle.apply_categories(ids text[] default null, dry_run boolean default false)
returns table (item_id text, category text, confidence double precision, category_id text, is_written boolean, problem text)
language plpgsql volatile
as $function$
#variable_conflict use_column
declare
    model constant integer := aisle._live_model('category');
    target regclass;
begin
    select w.target into target from aisle._write_back w;
    if not found then
        raise exception 'Nothing says where categories are written.'
            using errcode = 'AIS02', hint = 'For example: select aisle.set_write_back(''{"column": "category_id", "at_precision": 0.97}'')';
    end if;
    perform aisle._guard();
    perform aisle._check_source(a) from aisle._attachments a where a.kind = 'items';
    if not dry_run then
        perform aisle._refuse_foreign_writes(target);
    end if;
    return query
        select i.item_id, a.category, a.confidence, a.category_id, a.is_written, a.problem
        from (select r.item_id from aisle._read_items(ids) r where ids is not null and r.category is null
              union all
              select r.item_id from aisle._items r where ids is null and r.category is null
              order by 1) i
        cross join lateral aisle._apply_category(i.item_id, model, dry_run) a;
end
$function$;

comment on function aisle.apply_categories(text[], boolean) is
    'Writes the predicted categories of items that have none, of all or of these, as aisle.set_write_back says. Returns a row for each: '
    'what is predicted, and whether it was written or why not.';
