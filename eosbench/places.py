"""Places that are written to, tried out before the work that fills them.

A run that ends in an error after an hour, because its results cannot be written, has lost the hour.
Nothing is left behind by a try.

    check_folder(Path("reports"), "--output reports")
    with writing("--output reports"):
        ...
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from eosbench.errors import ConfigurationError

CACHE_VARIABLE = "EOSBENCH_CACHE"
USUAL_CACHE = "~/.cache/eosbench"
CACHE_REMEDY = f"set {CACHE_VARIABLE} to a folder that can be written"

__all__ = [
    "CACHE_REMEDY",
    "CACHE_VARIABLE",
    "USUAL_CACHE",
    "cache_folder",
    "check_file",
    "check_folder",
    "give_usual_mode",
    "is_there",
    "shortened",
    "writing",
]


def cache_folder(name: str) -> Path:
    """A folder in the cache of eosbench: below $EOSBENCH_CACHE, or below ~/.cache/eosbench.

    Raises:
        ConfigurationError: there is no home folder, and EOSBENCH_CACHE says no other.
    """
    root = os.environ.get(CACHE_VARIABLE) or USUAL_CACHE
    try:
        return Path(root).expanduser() / name
    except RuntimeError as error:
        raise ConfigurationError(f"no cache at {root} ({error}): {CACHE_REMEDY}") from error


def check_folder(folder: Path, said: str, remedy: str = "") -> None:
    """Refuses a folder that cannot be written to; one that is not there yet must be makeable.

    Args:
        folder: where files are to go.
        said: the words of the user that named it, for the message.
        remedy: what to type instead, where another folder is not all.

    Raises:
        ConfigurationError: it cannot be written, and why.
    """
    with writing(said, "a folder", remedy):
        found = _nearest(folder)
        if not found.is_dir():
            raise NotADirectoryError(0, f"{shortened(str(found))} is a file")
        _try_in(found)


def check_file(file: Path, said: str, remedy: str = "") -> None:
    """Refuses a file that cannot be written; one that is not there yet must be makeable.

    Args:
        file: that is to be written, or added to.
        said: the words of the user that named it, for the message.
        remedy: what to type instead, where another file is not all.

    Raises:
        ConfigurationError: it cannot be written, and why.
    """
    with writing(said, "a file", remedy):
        found = _nearest(file)
        if found == file:
            if stat.S_ISDIR(os.stat(file).st_mode):
                raise IsADirectoryError(0, "it is a folder")
            if not os.access(file, os.W_OK):
                raise PermissionError(0, "Permission denied")
        elif not found.is_dir():
            raise NotADirectoryError(0, f"{shortened(str(found))} is a file")
        else:
            _try_in(found)


@contextmanager
def writing(said: str, kind: str = "a folder", remedy: str = "") -> Iterator[None]:
    """Turns an error of the file system inside into one line.

    Args:
        said: the words of the user that named the place.
        kind: "a folder" or "a file".
        remedy: what to type instead, where another place is not all.

    Raises:
        ConfigurationError: the place cannot be written, and why.
    """
    try:
        yield
    except (ConfigurationError, UnicodeError):
        raise
    except (OSError, ValueError) as error:  # a ValueError is a path with a zero byte in it
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            f"{shortened(said)}: expected {kind} that can be written ({reason or error})"
            + (f": {remedy}" if remedy else "")
        ) from error


def give_usual_mode(*files: Path) -> None:
    """Gives files the mode that the umask leaves, as `open` does.

    safetensors writes a temporary file that its owner alone may read, and renames it.
    """
    left_out = os.umask(0o077)
    os.umask(left_out)
    for file in files:
        file.chmod(0o666 & ~left_out)


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder; no path can have a name that is too long."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def shortened(text: str, most: int = 200) -> str:
    """A text for a message, of at most so many characters.

    >>> shortened("a" * 300, most=20)
    'aaaaaaaaa ... (300 characters)'
    """
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 1]} ... ({len(text)} characters)"


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest place above it that exists."""
    while True:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            path = path.parent
        else:
            return path


def _try_in(folder: Path) -> None:
    """Writes a byte into a file without a name."""
    with TemporaryFile(dir=folder) as file:
        file.write(b"0")
        file.flush()
