-- The attached relations, whose they are, and what code of others would run with the caller's rights where they are read.
select c.oid::regclass::text, pg_get_userbyid(c.relowner), aisle._foreign_code(c.oid)
from aisle._attachments a
join pg_class c on c.oid in (a.relation, a.lines)
group by c.oid, c.relowner
order by 1
