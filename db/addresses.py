"""Addresses of databases: shows them, and errors about them, without the password.

libpq quotes an address that it cannot parse. If a password contains `@` or `/`, libpq takes the rest of the password
for the name of a host, and quotes that.
"""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

UNREADABLE = "the address has a password in it, and cannot be parsed"
UNREADABLE_HINT = "In an address, write @ as %40, / as %2F and % as %25; or give the password as PGPASSWORD."

# Three spellings: postgresql://user:PASSWORD@host/…, …?password=PASSWORD, and password=PASSWORD in a list of words.
IN_URL = re.compile(r"(?P<before>^(?>(?:[\w+.-]*://)?)[^:/@=?\s]*):(?P<password>[^?]*)@")
IN_QUERY = re.compile(r"(?<=[?&])(?P<name>(?:ssl)?password)=(?P<password>[^&]*)&?")
IN_WORDS = re.compile(r"(?:^|(?<=\s))(?:ssl)?password\s*=\s*(?P<password>'(?:[^'\\]|\\.)*'|\S*)\s*")


def without_password(url: str) -> str:
    """Return an address without its password. PGPASSWORD or ~/.pgpass can provide it."""
    if "://" not in url:
        return IN_WORDS.sub("", IN_URL.sub(r"\g<before>@", url)).strip()
    return IN_QUERY.sub("", IN_URL.sub(r"\g<before>@", url)).rstrip("?&")


def password(url: str) -> str | None:
    """Return the password in an address, decoded."""
    found = conninfo_to_dict(url).get("password")
    return str(found) if found else None


def reason(error: psycopg.Error, url: str) -> str:
    """Return in one line why a connection to this address failed, without any part of the password."""
    if may_be_quoted(error, url):
        return UNREADABLE
    return " ".join(str(error).removeprefix("connection failed: ").split()).rstrip(".")


def may_be_quoted(error: psycopg.Error, url: str) -> bool:
    """Return whether the text of this error may contain a part of a password."""
    written = [found["password"] for pattern in (IN_URL, IN_QUERY, IN_WORDS) for found in pattern.finditer(url)]
    in_url = IN_URL.search(url)
    # libpq takes the text after the first of these signs for the host.
    is_cut = bool(in_url and re.search("[@/]", in_url["password"]))
    return any(written) and (isinstance(error, psycopg.ProgrammingError) or is_cut)
