select nextval('aisle._lease_tokens')
