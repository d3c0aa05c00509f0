#!/usr/bin/env python3
"""Checks the minimum supported Rust version (MSRV) of every package in the workspace.

- Each package has a `rust-version`, and nothing that it builds with needs a newer Rust.
- An optional package of this workspace may need a newer Rust: it is a feature that users turn on.
- The README of a published package states these versions, as "Rust 1.2" or "Rust 1.2.3".

One toolchain cannot show that the code builds with the MSRV. `clippy::incompatible_msrv` covers the
standard library, and a job in .github/workflows/ci.yml builds with the MSRV itself.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

METADATA = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
# Cargo says `null` for normal dependencies.
KINDS = (None, "build")


def number(rust_version):
    """Turns "1.88" into (1, 88, 0), so that versions can be compared."""
    parts = [int(part) for part in rust_version.split("-")[0].split(".")]
    return tuple(parts + [0] * (3 - len(parts)))


def states(text, rust_version):
    """Returns whether the text has "Rust 1.88"; "Rust 1.88.1" and "Rust 1.885" do not count."""
    return re.search(rf"\bRust {re.escape(rust_version)}(?!\.?[0-9])", text) is not None


def main():
    metadata = json.loads(subprocess.run(METADATA, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    members = set(metadata["workspace_members"])
    problems = []

    def dependencies(package):
        for edge in nodes[package]["deps"]:
            if any(kind["kind"] in KINDS for kind in edge["dep_kinds"]):
                yield edge["pkg"]

    def is_feature(package, dependency):
        declared = packages[package]["dependencies"]
        name = packages[dependency]["name"]
        return dependency in members and any(entry["name"] == name and entry["optional"] for entry in declared)

    def check(member):
        """Checks one package. Returns what its README has to state, as pairs of reason and version."""
        name, own = packages[member]["name"], packages[member]["rust_version"]
        if own is None:
            problems.append(f"{name}: Cargo.toml has no rust-version")
            return []
        features, seen, pending = set(), {member}, [member]
        while pending:
            package = pending.pop()
            for dependency in dependencies(package):
                used = packages[dependency]
                needed = used["rust_version"] or "0"
                is_newer = number(needed) > number(own)
                if is_newer and is_feature(package, dependency):
                    features.add((used["name"], needed))
                elif dependency not in seen:
                    seen.add(dependency)
                    pending.append(dependency)
                    if is_newer:
                        problems.append(f"{name}: {used['name']} {used['version']} needs Rust {needed}, not {own}")
        notes = "".join(f"; with {feature} {needed}" for feature, needed in sorted(features))
        print(f"{name}: Rust {own}, {len(seen) - 1} dependencies{notes}", flush=True)
        return [(name, own), *sorted(features)]

    for member in sorted(members):
        stated = check(member)
        if packages[member]["publish"] is None:
            readme = Path(packages[member]["manifest_path"]).with_name("README.md").read_text(encoding="utf-8")
            for reason, needed in stated:
                if not states(readme, needed):
                    name = packages[member]["name"]
                    problems.append(f'{name}: README.md does not state "Rust {needed}", which {reason} needs')

    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
