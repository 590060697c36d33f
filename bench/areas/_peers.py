"""Peers from PyPI, installed into the running environment when missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys


def need(distribution: str, module: str | None = None):
    name = module or distribution
    try:
        found = importlib.import_module(name)
    except ImportError:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", distribution],
                       check=True)
        importlib.invalidate_caches()
        found = importlib.import_module(name)
    return found, f"{distribution} {importlib.metadata.version(distribution)}"
