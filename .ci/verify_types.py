"""Check that every public symbol of the package has a known type, as its users' type checkers see it.

Run by ``nox -s types``. Pyright reads no types from a package without ``py.typed``. Twilio's SDK has none, although its
classes are annotated; so the two folders whose classes `adapters.twilio` extends are copied and marked as typed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "twilio_oauth_async"
EXTENDED = ("auth_strategy", "credential")


def main() -> int:
    """Run ``pyright --verifytypes`` and return its exit code: 0 if all types are known."""
    sdk = importlib.util.find_spec("twilio")
    if sdk is None or sdk.origin is None:
        print("missing package twilio: it is in the dependency group types")
        return 2
    with tempfile.TemporaryDirectory(prefix="twilio-oauth-types-") as temporary:
        marked = Path(temporary, "twilio")
        for folder in EXTENDED:
            shutil.copytree(Path(sdk.origin).with_name(folder), marked / folder)
        (marked / "__init__.py").touch()
        (marked / "py.typed").touch()
        path = os.pathsep.join(filter(None, (temporary, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
        # Not in the checkout: pyright would take the settings of pyproject.toml for those of the package.
        run = subprocess.run(
            [*command, "--verifytypes", PACKAGE, "--ignoreexternal"],
            cwd=temporary,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        print(run.stdout + run.stderr)
    else:
        print(next(line for line in run.stdout.splitlines() if "completeness" in line))
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
