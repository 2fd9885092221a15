"""Derive the config of a new task from one of the project's, as text, so that comments stay."""

import re
from collections.abc import Mapping, Sequence

SECTION = re.compile(r"\[([\w.*]+)\]")
KEY = re.compile(r"(@?\w+) = ")


def derive_config(
    text: str, header: Sequence[str], values: Mapping[str, str], without: Sequence[str] = ()
) -> str:
    """Return a config with another header and other values.

    A comment above what changes or goes says something of the old value, and goes, too.

    text: Config whose first lines are a comment.
    header: Lines to take the place of that comment, without #.
    values: By dotted key, as they are written in a config.
    without: Sections, with all that is in them, and dotted keys that go.
    RAISES ValueError: The config has no such key or section.
    """
    lines = text.splitlines()
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    missing, section, kept, comments = {*values, *without}, "", [], []
    for line in lines:
        if line.startswith("#"):
            comments.append(line)
            continue
        if found := SECTION.fullmatch(line):
            section = key = found[1]
        elif found := KEY.match(line):
            key = f"{section}.{found[1]}"
        else:
            key = section
        gone = [one for one in without if key == one or f"{section}.".startswith(f"{one}.")]
        missing -= {*gone, key}
        if not gone:
            changed = key in values and found
            kept += [f"{found[1]} = {values[key]}"] if changed else [*comments, line]
        comments = []
    if missing:
        raise ValueError(f"{sorted(missing)[0]}: not in the config to start from. Expected it.")
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(kept).strip("\n"))
    return "\n".join([*(f"# {line}" for line in header), "", body, ""])
