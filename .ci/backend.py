"""setuptools, with a source distribution that is the same bytes for the same tree and SOURCE_DATE_EPOCH.

setuptools writes the time of the build and the names of users into it (its wheels are reproducible as they are).
"""

import gzip
import io
import os
import pathlib
import tarfile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the other hooks)

HERE = pathlib.Path(__file__)


def build_sdist(sdist_directory, config_settings=None):
    """The hook of PEP 517; this file goes along, as the wheel may be built from what it makes."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path = pathlib.Path(sdist_directory, name)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    with tarfile.open(path) as archive:
        kept = [(m, archive.extractfile(m).read()) for m in archive.getmembers() if m.isfile()]
    files = {m.name: (data, m.mode & 0o100, int(m.mtime)) for m, data in kept}
    root = name.removesuffix(".tar.gz")
    files[f"{root}/.ci/{HERE.name}"] = HERE.read_bytes(), 0, int(HERE.stat().st_mtime)
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place, (data, executable, modified) in sorted(files.items()):
            member = tarfile.TarInfo(place)
            member.size, member.mode = len(data), 0o755 if executable else 0o644
            member.mtime = int(epoch) if epoch else modified
            archive.addfile(member, io.BytesIO(data))
    path.write_bytes(gzip.compress(written.getvalue(), mtime=int(epoch) if epoch else None))
    return name
