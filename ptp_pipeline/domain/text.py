"""How any value reads as one line of text for people. Sentences about something belong to what they are about."""

import unicodedata
from datetime import datetime
from typing import Any


def visible(value: Any) -> str:
    """A cell as one line of text. Names come from customers' files: control characters must not steer a terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(visible(v) for v in value)
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in str(value)).split())
