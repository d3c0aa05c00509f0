#!/usr/bin/env python3
"""Checks that links of Markdown pages into the documentation lead to items and headings.

Run `cargo doc --workspace --no-deps --all-features` first. A link to
https://docs.rs/limited/latest/limited/struct.Limiter.html#clock needs the file
target/doc/limited/struct.Limiter.html, with an element of the id `clock`.
"""

import re
import subprocess
import sys
from pathlib import Path

DOC = Path("target/doc")
LINK = re.compile(r"https://docs\.rs/(limited[a-z-]*)(?:/latest/([\w/.]+))?(?:#([\w.-]+))?")

files = subprocess.run(["git", "ls-files", "*.md"], check=True, capture_output=True, text=True)
problems, seen = [], 0
for page in files.stdout.split():
    for package, path, fragment in LINK.findall(Path(page).read_text(encoding="utf-8")):
        seen += 1
        file = DOC / (path or f"{package.replace('-', '_')}/index.html")
        if not file.is_file():
            problems.append(f"{page}: {file} does not exist")
        elif fragment and f'id="{fragment}"' not in file.read_text(encoding="utf-8"):
            problems.append(f"{page}: {file} has no element `{fragment}`")
print("\n".join(problems) or f"{seen} links lead into the documentation")
sys.exit(bool(problems) or not seen)
