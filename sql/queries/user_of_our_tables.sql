-- Names the session that has used one of our tables for the longest time, in a transaction that is still open.
select aisle._table_user(array(select c.oid::regclass from pg_class c where c.relnamespace = 'aisle'::regnamespace))
