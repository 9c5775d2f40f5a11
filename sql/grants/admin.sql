-- An administrator may do all that readers and workers may, use every table and view, deploy, roll back, and queue failures again. Only
-- the owner may create or drop tables: migrate, attach, detach, train and prune.
grant usage on schema aisle to ROLE;
grant execute on all functions in schema aisle to ROLE;
-- Our trigger functions run as their owner in the statement of whoever fires them: nobody else may create triggers with them, or on our
-- tables.
select aisle._revoke_triggers('ROLE');
revoke trigger, references on all tables in schema aisle from ROLE;
grant select, insert, update, delete, truncate on all tables in schema aisle to ROLE;
-- Only the owner changes what is attached and what a task is: functions read with their caller's rights whatever these tables name.
revoke insert, update, delete, truncate on aisle._attachments, aisle._watches, aisle._write_back, aisle._tasks, aisle.alembic_version, aisle._training_lock from ROLE;
grant all on all sequences in schema aisle to ROLE;
