"""`python -m experiments.maintenance.audit`: known security faults of the installed packages.

pip-audit asks an advisory service. Where that is out of reach it passes every package over and
exits with 0; this says so instead.

Exit status: 0 nothing known, or nothing could be looked up (it says which); 1 something is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distributions
from tempfile import NamedTemporaryFile

OURS = "apiprompt"


def main() -> int:
    """Audit what is installed here, beside this program itself."""
    installed = {d.name: d.version for d in distributions() if d.name.lower() != OURS}
    with NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.writelines(f"{name}=={version}\n" for name, version in installed.items())
        requirements.flush()
        command = ["pip_audit", "--requirement", requirements.name, "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off"]
        process = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False
        )
    try:
        packages = json.loads(process.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (process.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"could not be audited: the advisory service is out of reach ({last[:200]})")
        return 0
    audited = [package for package in packages if "vulns" in package]
    faulty = [package for package in audited if package["vulns"]]
    for package in faulty:
        for fault in package["vulns"]:
            fixed = ", ".join(fault["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    print(f"{len(audited)} of {len(packages)} packages audited, {len(faulty)} with known faults")
    if not audited:
        print("nothing was looked up: the advisory service does not know these packages from here")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
