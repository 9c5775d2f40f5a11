-- Refuses a column whose values occur twice where each must lead to one row: joined, its rows would count twice. A unique index is proof;
-- otherwise it looks at the rows of this moment.
create or replace function aisle._check_unique(target regclass, column_name text, hint text, shown text default null) returns void
language plpgsql stable
as $function$
declare
    repeated text;
begin
    if exists (
        select from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = target and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
          and a.attname = column_name)
    then
        return;
    end if;
    execute format('select min(d.id::text) from (select %2$I as id from %1$s where %2$I is not null group by 1 having count(*) > 1 limit 1) d',
                   target, column_name) into repeated;
    if repeated is not null then
        raise exception 'Column % of % has values that occur twice, such as %.', quote_ident(column_name), coalesce(shown, target::text), repeated
            using errcode = 'AIS04', hint = hint;
    end if;
end
$function$;
