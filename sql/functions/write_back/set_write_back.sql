create or replace function aisle.set_write_back(settings jsonb) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    known constant text[] := '{column,statement,undo,threshold,at_precision,at_commit}';
    unknown text;
    target regclass;
begin
    if not exists (select from aisle._attachments a where a.kind = 'items') then
        raise exception 'No items are attached.' using errcode = 'AIS02', hint = 'Attach them: aisle attach items SCHEMA.TABLE …';
    end if;
    perform aisle._drop_write_back();
    delete from aisle._write_back;
    if coalesce(settings, 'null') = 'null' then
        return 'Categories are not written back.';
    end if;
    if jsonb_typeof(settings) <> 'object' then
        raise exception 'The settings of a write-back are a JSON object, not %.', settings
            using errcode = 'AIS05', hint = 'For example: {"column": "category_id", "at_precision": 0.97}';
    end if;
    select string_agg(k.name, ', ') into unknown from jsonb_object_keys(settings) k (name) where k.name <> all (known);
    if unknown is not null then
        raise exception 'A write-back has no setting %.', unknown
            using errcode = 'AIS05', hint = 'Its settings: ' || array_to_string(known, ', ');
    elsif (settings ->> 'column' is null) = (settings ->> 'statement' is null) then
        raise exception 'Name the column that gets the category, or a statement that writes it.'
            using errcode = 'AIS05', hint = 'For example: {"column": "category_id", "at_precision": 0.97}';
    elsif (settings ->> 'threshold' is null) = (settings ->> 'at_precision' is null)
          or coalesce(settings ->> 'threshold', settings ->> 'at_precision')::numeric not between 0 and 1 then
        raise exception 'Say how sure an answer must be, between 0 and 1: threshold, a confidence, or at_precision, the share of right answers.'
            using errcode = 'AIS06', hint = 'For example: {"column": "category_id", "at_precision": 0.97}';
    end if;
    insert into aisle._write_back (settings) values (settings);
    target := aisle._create_write_back();
    perform aisle._refuse_foreign_writes(target);
    return format('Categories are written to %s.%s To see what it would be: aisle apply category --dry-run', target,
                  case when (settings ->> 'at_commit')::boolean then ' New rows get theirs when they are committed.' else '' end);
end
$function$;

comment on function aisle.set_write_back(jsonb) is
    'Says where predicted categories are written: {"column": …} of the items'' table, or {"statement": …} with $1, the item''s id, and $2, '
    'the category; and how sure they must be: "threshold", a confidence, or "at_precision". "at_commit": true writes those of new rows '
    'when they are committed. null ends it.';
