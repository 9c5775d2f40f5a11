"""Looks at a shop's database that Aisle has never seen, and proposes a shop file for it.

`reading` reads catalogue, samples and joins in one read-only transaction into a `Catalogue`. `items`, `categories`,
`orders` and `eligibility` are pure functions over it. `proposal` puts what they find together, `writing` writes it as
TOML with comments. No module knows a table of a particular shop system: `words` holds general words only, and names are
one evidence beside keys and data.
"""
