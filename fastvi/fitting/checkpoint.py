"""Checkpoints: all that a fit's next round depends on, written whole or not at all."""

import hashlib
import json
import os
import pathlib

import numpy as np

from ..rng import Key
from .result import Round

VERSION = 4


def fingerprint(target, q, method, options) -> str:
    """What a checkpoint must agree on: the density with all that it captures, the data, the start and the options."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(target.name).encode() + target.density.fingerprint())
    for array in q.arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    digest.update(repr((target.dim, q.family, method, sorted(options.items()))).encode())
    return digest.hexdigest()


def place(path, what="checkpoint") -> pathlib.Path:
    """A path in a folder that exists."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{what}: expected a path, got {path!r}")
    path = pathlib.Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"{what}: expected a file in a folder that exists, got {path}")
    return path


def as_table(history: list[Round]) -> np.ndarray:
    """A history as float64s, a round a row."""
    return np.array(history, dtype=np.float64).reshape(-1, len(Round._fields))


def as_rounds(table: np.ndarray) -> list[Round]:
    """A history from its table."""
    return [Round(int(row[0]), int(row[1]), row[2], row[3], int(row[4]), *row[5:]) for row in table.tolist()]


def save(path, mark, key, states, history) -> None:
    """Replace the checkpoint at ``path`` by a new one; a crash or a full disk leaves the old one."""
    path = pathlib.Path(path)
    arrays, scalars = {}, []
    for index, state in enumerate(states):
        scalars.append({k: v for k, v in state.items() if not isinstance(v, np.ndarray)})
        arrays.update({f"{index}/{k}": v for k, v in state.items() if isinstance(v, np.ndarray)})
    head = {"version": VERSION, "mark": mark, "key": key.word, "states": scalars}
    arrays["head"] = np.array(json.dumps(head))
    arrays["history"] = as_table(history)
    temporary = path.with_name(path.name + ".new")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        kept = "; the checkpoint of an earlier round is still there" if path.exists() else ""
        raise OSError(error.errno, f"checkpoint: cannot write it ({error.strerror}){kept}", str(path)) from None


def load(path, mark, key: Key | None):
    """(key, states, history) of a checkpoint, or None where there is none.

    Raises
    ------
    ValueError
        for a file that is no checkpoint, or one of another fit
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            head = json.loads(str(file["head"]))
            arrays = {k: file[k] for k in file.files if k not in ("head", "history")}
            history = file["history"]
        version = head["version"]
    except Exception as error:
        raise ValueError(f"checkpoint: {path} is no checkpoint of a fit ({type(error).__name__}: {error})") from None
    if version != VERSION:
        raise ValueError(f"checkpoint: {path} has format {version}, expected {VERSION}")
    if head["mark"] != mark:
        raise ValueError(f"checkpoint: {path} belongs to a fit of another target, start, method or options")
    if key is not None and head["key"] != key.word:
        raise ValueError(f"checkpoint: {path} was made with rng={Key(head['key'])}, not {key}; leave rng out to go on")
    states = head["states"]
    for name, array in arrays.items():
        index, _, field = name.partition("/")
        states[int(index)][field] = array
    return Key(head["key"]), states, as_rounds(history)
