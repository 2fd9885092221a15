"""Write and read the YAML head of a Markdown file, as model hubs know it."""

from pathlib import Path
from typing import Any

import srsly

LINE = "---\n"


def with_front_matter(fields: dict[str, Any], body: str) -> str:
    """Return Markdown that begins with fields as YAML between two lines of dashes."""
    return f"{LINE}{srsly.yaml_dumps(fields)}{LINE}\n{body}"


def read_front_matter(path: Path) -> tuple[dict[str, Any], str]:
    """Return the fields at the head of a Markdown file, and the Markdown below.

    RAISES ValueError: There are none.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Expected a model card; run scripts.card first.")
    parts = path.read_text(encoding="utf8").split(LINE, 2)
    try:
        fields = srsly.yaml_loads(parts[1]) if len(parts) == 3 and not parts[0] else None
    except Exception as error:  # whatever the YAML parser raises
        raise ValueError(f"{path}: {error}. Expected YAML between two lines of ---.") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: no fields. Expected YAML between two lines of ---.")
    return fields, parts[2].lstrip("\n")
