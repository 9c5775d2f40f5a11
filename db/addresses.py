"""Addresses of databases, and how to show one, or what is wrong with one, without the password in it.

libpq quotes what it cannot read, and a password with an `@` or `/` in it makes the rest of it the name of a host.
"""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

UNREADABLE = "the address, which has a password in it, cannot be read"
UNREADABLE_HINT = "In an address, @ is written as %40, / as %2F, % as %25; or give the password as PGPASSWORD."

# The password as written: postgresql://user:PASSWORD@host/…, …?password=PASSWORD, and password=PASSWORD among words.
IN_URL = re.compile(r"(?P<before>^(?>(?:[\w+.-]*://)?)[^:/@=?\s]*):(?P<password>[^?]*)@")
IN_QUERY = re.compile(r"(?<=[?&])(?P<name>(?:ssl)?password)=(?P<password>[^&]*)&?")
IN_WORDS = re.compile(r"(?:^|(?<=\s))(?:ssl)?password\s*=\s*(?P<password>'(?:[^'\\]|\\.)*'|\S*)\s*")


def without_password(url: str) -> str:
    """Return an address without the password in it, which PGPASSWORD or ~/.pgpass can give."""
    if "://" not in url:
        return IN_WORDS.sub("", IN_URL.sub(r"\g<before>@", url)).strip()
    return IN_QUERY.sub("", IN_URL.sub(r"\g<before>@", url)).rstrip("?&")


def password(url: str) -> str | None:
    """Return the password in an address, decoded."""
    found = conninfo_to_dict(url).get("password")
    return str(found) if found else None


def reason(error: psycopg.Error, url: str) -> str:
    """Return in one line why a connection to this address failed; nothing of the password is in it."""
    if may_be_quoted(error, url):
        return UNREADABLE
    return " ".join(str(error).removeprefix("connection failed: ").split()).rstrip(".")


def may_be_quoted(error: psycopg.Error, url: str) -> bool:
    """Return whether the text of this error may hold some of a password."""
    written = [found["password"] for pattern in (IN_URL, IN_QUERY, IN_WORDS) for found in pattern.finditer(url)]
    in_url = IN_URL.search(url)
    # libpq takes what comes after the first of these signs for a host, and looks for it in vain.
    is_cut = bool(in_url and re.search("[@/]", in_url["password"]))
    return any(written) and (isinstance(error, psycopg.ProgrammingError) or is_cut)
