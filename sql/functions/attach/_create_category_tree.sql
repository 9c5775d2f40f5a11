-- Creates what reads the shop's table of categories, at the moment of each answer: aisle._category_nodes, a row a category; aisle._categories
-- with the path of each; and aisle._category_paths, which finds the paths of a few by the table's own index. A category whose parent is
-- unknown is a root. So is one in a circle of parents.
create or replace function aisle._create_category_tree(categories jsonb) returns void
language plpgsql volatile
as $function$
declare
    settings record := aisle._category_settings(categories);
    roles constant jsonb := jsonb_strip_nulls(settings.roles);
    id_type constant text := aisle._id_type(settings.target, roles ->> 'id');
    parent constant text := case
        when roles ? 'path' then format(
            $path$(aisle._castable_ids(array[(
                select p.steps[cardinality(p.steps) - (p.steps[cardinality(p.steps)] = s.id::text)::integer]
                from (select regexp_split_to_array(trim(both '/.' from s.path::text), '[/.]') as steps) p)], %L))[1]::%s$path$, id_type, id_type)
        when roles ? 'parent' then format('s.parent::%s', id_type)
        else format('null::%s', id_type) end;
begin
    perform aisle._refuse_foreign_code(settings.target);
    execute format(
        'create view aisle._category_nodes with (security_invoker = true) as
         select s.id::%1$s as id, s.id::text as category_id, %2$s as parent, coalesce(nullif(s.name::text, ''''), s.id::text) as name
         from (select %3$s from %4$s r where (%5$s)) s
         where s.id is not null',
        id_type, parent, aisle._selected(settings.target, roles), settings.target,
        coalesce(aisle._qualified(settings.target, categories ->> 'where', 'where'), 'true'));
    perform aisle._check_unique('aisle._category_nodes', 'category_id', 'A category must be one row: say which of them counts (where).',
                                settings.target::text);
    create view aisle._categories with (security_invoker = true) as
        with recursive nodes as materialized (
            select n.id, n.category_id, n.parent, n.name from aisle._category_nodes n
        ), down as (
            select n.id, n.category_id, null::text as parent_id, n.name, array[n.name] as path, array[n.category_id] as ids
            from nodes n
            where n.parent is null or not exists (select from nodes p where p.id = n.parent)
            union all
            select n.id, n.category_id, d.category_id, n.name, d.path || n.name, d.ids || n.category_id
            from down d
            join nodes n on n.parent = d.id
        )
        select d.category_id, d.parent_id, d.name, d.path, d.ids from down d
        union all
        select n.category_id, null, n.name, array[n.name], array[n.category_id]
        from nodes n
        where not exists (select from down d where d.id = n.id);
    -- `offset 0` keeps each step a look-up by the index.
    execute format($definition$
        create function aisle._category_paths(asked text[]) returns table (category_id text, path text[], ids text[])
        language plpgsql stable parallel safe rows 5
        set search_path = pg_catalog, pg_temp
        as $paths$
        #variable_conflict use_column
        declare
            known constant %1$s[] := aisle._castable_ids(asked, %1$L);
        begin
            return query
                with recursive up as (
                    select n.category_id as leaf, n.parent, array[n.name] as path, array[n.category_id] as ids
                    from aisle._category_nodes n where n.id = any (known)
                    union all
                    select u.leaf, above.parent, above.name || u.path, above.category_id || u.ids
                    from up u
                    cross join lateral (select n.category_id, n.parent, n.name from aisle._category_nodes n where n.id = u.parent offset 0) above
                    where above.category_id <> all (u.ids)
                )
                select distinct on (u.leaf collate "C") u.leaf, u.path, u.ids
                from up u
                order by u.leaf collate "C", cardinality(u.ids) desc;
        end
        $paths$
        $definition$, id_type);
    perform aisle._copy_grants('aisle._attachments', 'aisle._category_nodes');
    perform aisle._copy_grants('aisle._attachments', 'aisle._categories');
    perform aisle._copy_execute('aisle._castable_ids'::regproc, to_regproc('aisle._category_paths'));  -- looked up at each call
exception
    when syntax_error_or_access_rule_violation or datatype_mismatch then
        raise exception 'What was declared for categories cannot be read: %.', sqlerrm
            using errcode = 'AIS05', hint = 'name may be an expression on the columns of the table, where a condition on them.';
end
$function$;
