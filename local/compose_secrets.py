"""``python -m local.compose_secrets FOLDER``: the secrets of ``local/compose.yaml``, made once, a file each.

They lie in a volume that only the services mount that need one, and are readable to whoever those run as.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import Final

__all__ = ["NAMES", "main", "make_secrets"]

NAMES: Final = ("keycloak", "postgres", "service-client", "session-key", "token-pepper", "web-client")
"""What they are called. Another pepper would end every capability token, another password lock the database."""


def make_secrets(folder: Path) -> list[str]:
    """Make a secret of 256 random bits for each name that has none, and return those names."""
    made = []
    for name in NAMES:
        file = folder / name
        if file.exists():
            continue
        unfinished = folder / f".{name}"
        unfinished.write_text(secrets.token_urlsafe(32), "ascii")
        # PostgreSQL, Keycloak and our services run as users of their own images.
        unfinished.chmod(0o444)
        unfinished.replace(file)
        made.append(name)
    os.sync()
    return made


def main() -> int:
    """Make what is missing in the folder that is named, and return the exit status."""
    made = make_secrets(Path(sys.argv[1]))
    print(f"secrets: made {', '.join(made)}" if made else "secrets: all there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
