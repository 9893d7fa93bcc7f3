#!/usr/bin/env python3
"""Checks that no tracked text file names a path of one machine, such as a home folder. Exits with 1 if one does."""
import re
import subprocess
import sys
from pathlib import Path

# A folder that exists on somebody's machine only, where no other path precedes it (so src/work/ is fine).
MACHINE_PATH = re.compile(r"(?<![\w.}\])-])/(work|tmp|root|farm|home/\w+|Users/\w+)/")


def main():
    root = Path(__file__).resolve().parent.parent
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
    files = [Path(name.decode()) for name in tracked.split(b"\0") if name]
    found = 0
    for path in files:
        try:
            lines = (root / path).read_text(encoding="utf-8").splitlines()
        except (UnicodeDecodeError, FileNotFoundError):  # binary, or deleted and not yet committed
            continue
        for number, line in enumerate(lines, 1):
            if MACHINE_PATH.search(line):
                print(f"{path}:{number}: {line.strip()[:120]}")
                found += 1
    print(f"check_paths: {len(files)} files, {found} with a machine's path")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
