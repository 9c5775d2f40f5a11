-- All of ours: what readers and workers may, every table and view, and the functions that deploy, roll back and give failures another
-- round. What creates or drops tables (migrating, attaching, detaching, training, pruning) remains the owner's.
grant usage on schema aisle to ROLE;
grant execute on all functions in schema aisle to ROLE;
grant all on all tables in schema aisle to ROLE;
grant all on all sequences in schema aisle to ROLE;
