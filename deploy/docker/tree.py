"""Builds a thv that runs anywhere on one kind of machine: Python, thv, and the C library they need, in one folder.

Run with the Python that the tree shall have: `python tree.py TARGET PIP-REQUIREMENT...`; needs `ldd` and `patchelf`. In
the result, `bin/python3` names the loader and the libraries in `lib`: as long as the tree stands at TARGET, it runs
whatever else the file system holds, or does not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

NEVER = shutil.ignore_patterns(
    *("site-packages", "__pycache__", "test", "tests", "config-*", "ensurepip", "lib2to3", "pydoc_data"),
    *("idlelib", "tkinter", "turtledemo", "_tkinter*", "_test*", "_ctypes_test*", "*.a"),
)
"""Parts of the standard library that no server needs."""

LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
"""A file in a line of `ldd`."""

LATE = ("libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1")
"""What the C library opens only when it needs it: names (before glibc 2.34), and ends of threads."""


def main(target: Path, requirements: list[str]) -> None:
    """Make the tree at `target`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (target / "bin").mkdir(parents=True)
    (target / "lib").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), target / "bin" / "python3")
    shutil.copytree(sysconfig.get_path("stdlib"), target / "lib" / version, ignore=NEVER, symlinks=True)
    site = target / "lib" / version / "site-packages"
    pip = [sys.executable, "-m", "pip", "install", "--no-compile", "--quiet", "--target", str(site), *requirements]
    subprocess.run(pip, check=True)
    loader = bring_libraries(target)
    shutil.copy2(loader, target / "lib" / "ld.so")
    start = [str(target / "bin" / "python3")]
    # RPATH and not RUNPATH: it holds for what the libraries themselves need, too, unless they have a RUNPATH.
    paths = ["--force-rpath", "--set-rpath", str(target / "lib")]
    modules = (target / "lib" / version / "lib-dynload").glob("*.so")
    libraries = [str(path) for path in (target / "lib").glob("*.so.*") if not path.name.startswith("libc.")]
    libraries += map(str, modules)
    strip([*target.rglob("*.so"), *target.rglob("*.so.*"), target / "bin" / "python3"])
    subprocess.run(["patchelf", *paths, *start, *libraries], check=True)
    subprocess.run(["patchelf", "--set-interpreter", str(target / "lib" / "ld.so"), *start], check=True)
    # Compiled here, once: nobody can write there later. By its hash, because copies have other times.
    where = str(target / "lib" / version)
    compile_all = ["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", where]
    subprocess.run([*start, *compile_all], check=False)  # templates of some packages are no Python
    subprocess.run([*start, "-I", "-m", "thv", "--version"], check=True)


def strip(binaries: list[Path]) -> None:
    """Take out debug symbols, a third of the whole. Before `patchelf`, whose work `strip` can undo."""
    program = shutil.which("strip")
    if program is None:
        print("no strip (binutils): debug symbols stay", file=sys.stderr)
        return
    for binary in binaries:
        if not binary.is_symlink():
            subprocess.run([program, "--strip-unneeded", str(binary)], check=False)  # a few are linker scripts


def bring_libraries(target: Path) -> Path:
    """Copy every shared library that anything in the tree needs into `lib`; returns where the loader is."""
    loader = None
    binaries = [target / "bin" / "python3", *target.rglob("*.so"), *target.rglob("*.so.*")]
    for binary in binaries:
        listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            found = LIBRARY.search(line)
            if found is None:
                continue
            library = Path(found[1])
            if library.name.startswith("ld-"):
                loader = library.resolve()
            elif target not in library.parents:
                shutil.copy2(library.resolve(), target / "lib" / library.name)
                for late in LATE:
                    if (library.parent / late).exists():
                        shutil.copy2((library.parent / late).resolve(), target / "lib" / late)
    if loader is None:
        raise SystemExit(f"{target / 'bin' / 'python3'} names no loader; is it a static program?")
    return loader


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
