"""Writes a shop file: TOML with comments."""

import textwrap
from dataclasses import dataclass, field

WIDTH = 110  # characters of a comment's line

Value = str | list[str] | bool | int | float


@dataclass
class Entry:
    """A key and its value; without `is_active` it is written as a comment, for the owner to take in."""

    key: str
    value: Value
    is_active: bool = True
    comments: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A section of the file with what was found."""

    name: str
    comments: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    is_active: bool = True

    def add(self, key: str, value: Value, *comments: str, is_active: bool = True) -> None:
        """Add an entry with the comments that explain it."""
        self.entries.append(Entry(key, value, is_active, [comment for comment in comments if comment]))


def text(header: list[str], sections: list[Section]) -> str:
    """Return the file."""
    parts = ["\n".join(_comment(line) for line in header)]
    for section in sections:
        lines = [_comment(line) for line in section.comments]
        name = f"[{section.name}]"
        lines.append(name if section.is_active else f"# {name}")
        for entry in section.entries:
            lines += [_comment(comment) for comment in entry.comments]
            written = f"{_key(entry.key)} = {_value(entry.value)}"
            lines.append(
                written if entry.is_active and section.is_active else textwrap.indent(written, "# ", lambda _: True)
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _comment(line: str) -> str:
    return textwrap.fill(
        " ".join(line.split()),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else _string(key)


def _value(value: Value) -> str:
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return f"[{', '.join(map(_string, value))}]" if isinstance(value, list) else _string(value)


def _string(value: str) -> str:
    if "\n" in value or ('"' in value and "'" in value):
        escaped = value.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return f'"""\n{escaped}\n"""'
    if '"' in value or "\\" in value:
        return f"'{value}'" if "'" not in value else '"' + value.replace("\\", "\\\\") + '"'
    return f'"{value}"'
