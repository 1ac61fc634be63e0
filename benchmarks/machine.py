"""What the numbers were made on."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from pathlib import Path

GIB = 1 << 30


def describe() -> dict[str, str | int]:
    """Describe the machine, but not whose it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count() or 0,
        "cpu": cpu_model(_read(Path("/proc/cpuinfo"))) or platform.machine(),
        "memory_gib": round(memory / GIB),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def today() -> str:
    """Tell the date."""
    return datetime.now(timezone.utc).date().isoformat()


def cpu_model(cpuinfo: str) -> str:
    """Read the model of the processor."""
    match = re.search(r"^model name\s*:\s*(.+?)\s*$", cpuinfo, re.MULTILINE)
    return " ".join(match[1].split()) if match else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
