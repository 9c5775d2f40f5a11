-- The attached relations, their owners, and the code of others that reading them would run with the caller's rights.
select c.oid::regclass::text, pg_get_userbyid(c.relowner), aisle._foreign_code(c.oid)
from aisle._attachments a
join pg_class c on c.oid in (a.relation, a.lines)
group by c.oid, c.relowner
order by 1
