-- The names that are most like a category that nobody knows, for a hint.
create or replace function aisle._near_categories(category text, names text[]) returns text
language plpgsql stable parallel safe
as $function$
declare
    wanted constant text[] := aisle._ngrams(left(category, 200), null, null);
begin
    return coalesce((
        select 'Near: ' || string_agg(quote_literal(n.name), ', ' order by n.likeness desc, n.name)
        from (select u.name, s.shared / (cardinality(g.grams) + cardinality(wanted) - s.shared) as likeness
              from (select distinct d.name from unnest(names) d (name)) u
              cross join lateral (select aisle._ngrams(left(u.name, 200), null, null) as grams) g
              cross join lateral (select count(*)::float8 as shared from unnest(g.grams) x where x = any (wanted)) s
              where s.shared > 0
              order by 2 desc, 1
              limit 3) n), 'No category has a name like it.');
end
$function$;
