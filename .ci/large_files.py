"""Refuse tracked files above 500 kB, the golden vectors excepted."""

import subprocess
import sys
from pathlib import Path

LIMIT_BYTES = 500_000
EXCEPTED = ("tests/golden/",)


def main() -> int:
    """Name each file that is too large; exit 1 if there is one."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    large = [
        name
        for name in names
        if not name.startswith(EXCEPTED)
        and Path(name).is_file()
        and Path(name).stat().st_size > LIMIT_BYTES
    ]
    for name in large:
        sys.stderr.write(f"{name} is above {LIMIT_BYTES} bytes\n")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
