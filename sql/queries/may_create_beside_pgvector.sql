-- The roles that may create functions in pgvector's schema, besides its owner, Aisle's and superusers, as a list for REVOKE.
select string_agg(case when a.grantee = 0 then 'public' else a.grantee::regrole::text end, ', ' order by a.grantee)
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
cross join aclexplode(n.nspacl) a
left join pg_roles r on r.oid = a.grantee
where e.extname = 'vector' and a.privilege_type = 'CREATE' and not coalesce(r.rolsuper, false)
  and a.grantee not in (n.nspowner, (select nspowner from pg_namespace where nspname = 'aisle'))
