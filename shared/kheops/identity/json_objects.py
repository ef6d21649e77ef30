"""JSON objects in what others sent."""

import json

__all__ = ["json_object"]


def json_object(body: bytes) -> dict[str, object] | None:
    """Return the object that a body is in JSON (RFC 8259); ``None`` if it is anything else, or nested too deeply."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
