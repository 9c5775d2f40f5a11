-- All of ours: what readers and workers may, every table and view, and the functions that deploy, roll back and give failures another
-- round. What creates or drops tables (migrating, attaching, detaching, training, pruning) remains the owner's.
grant usage on schema aisle to ROLE;
grant execute on all functions in schema aisle to ROLE;
-- A trigger runs in whoever's statement fires it, and ours run as their owner: nobody else is to create any, or with them.
revoke execute on function
    aisle.tg_items__insert, aisle.tg_items__delete, aisle.tg_items__truncate, aisle.tg_items__row, aisle.tg_orders__changed
from ROLE;
revoke trigger, references on all tables in schema aisle from ROLE;
grant select, insert, update, delete, truncate on all tables in schema aisle to ROLE;
grant all on all sequences in schema aisle to ROLE;
