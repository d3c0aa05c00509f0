"""Checks that comments and documentation wrap at 100 columns.

Tables, link definitions, code blocks and lines that cannot be wrapped (one word) are exempt.
Rustfmt checks code; on the stable channel it leaves comments alone.
"""

import pathlib
import re
import subprocess
import sys

WIDTH = 100
COMMENT = re.compile(r"\s*(///|//!|//)( |$)(.*)")


def long_comments(path):
    in_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        comment = COMMENT.match(line)
        if not comment:
            in_code = False
            continue
        text = comment.group(3)
        if text.lstrip().startswith("```"):
            in_code = not in_code
        is_exempt = in_code or text.startswith(("|", "[", "#")) or " " not in text.strip()
        if len(line) > WIDTH and not is_exempt:
            yield f"{path}:{number}: a comment of {len(line)} columns; wrap it at {WIDTH}"


files = subprocess.run(["git", "ls-files", "*.rs"], check=True, capture_output=True, text=True)
problems = [problem for name in files.stdout.split() for problem in long_comments(pathlib.Path(name))]
print("\n".join(problems) or "comments wrap at 100 columns")
sys.exit(bool(problems))
