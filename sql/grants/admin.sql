-- All of ours: what readers and workers may, every table and view, and the functions that deploy, roll back and give failures another
-- round. What creates or drops tables (migrating, attaching, detaching, training, pruning) remains the owner's.
grant usage on schema aisle to ROLE;
grant execute on all functions in schema aisle to ROLE;
-- A trigger runs in whoever's statement fires it, and ours run as their owner: nobody else is to create any, or with them.
select aisle._revoke_triggers('ROLE');
revoke trigger, references on all tables in schema aisle from ROLE;
grant select, insert, update, delete, truncate on all tables in schema aisle to ROLE;
-- What is attached changes by the functions that attach and detach alone: what stands here is read with the rights of whoever asks.
revoke insert, update, delete, truncate on aisle._attachments, aisle._tasks, aisle.alembic_version, aisle._training_lock from ROLE;
grant all on all sequences in schema aisle to ROLE;
