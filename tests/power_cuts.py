"""What a disk may hold after the power fails at any moment of a piece of work.

A file's bytes are safe once it was synced, a name once its folder was. `Disk.watch` notes the folder before each call that
syncs, renames, makes or removes; what was written between two calls may be lost, cut or kept. `Disk.after_power_cuts`
gives the trees that may be left, `rebuild` makes a folder of one.
"""

import contextlib
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import terse.folders

CALLS = ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir")


@dataclass
class Moment:
    """The folder as a process sees it, and what of it is on the disk. Files and folders go by number."""

    call: str
    entries: dict[int, dict[str, int]]  # of each folder: names and what they name
    contents: dict[int, bytes]
    safe_entries: dict[int, dict[str, int]]
    safe_contents: dict[int, bytes]


class Disk:
    """Notes the moments of work below one folder, which must exist and is the first that is numbered."""

    def __init__(self, root):
        self.root, self.moments = Path(root), []
        self._numbers, self._count, self._read = {}, 0, {}
        self._look()
        self._safe_entries, self._safe_contents = dict(self._entries), dict(self._contents)

    @contextlib.contextmanager
    def watch(self, monkeypatch):
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._noted(name, getattr(os, name)))
            patch.setattr(terse.folders, "_sync_file_system", self._noted("syncfs", terse.folders._sync_file_system))
            yield self
        self._note("end")

    def _noted(self, name, call):
        def noted(*arguments, **options):
            self._note(f"{name} {arguments[0]}")
            result = call(*arguments, **options)
            self._look()
            if name == "syncfs":
                self._safe_entries, self._safe_contents = dict(self._entries), dict(self._contents)
            elif name == "fsync":
                self._synced(self._numbers.get(os.fstat(arguments[0]).st_ino))
            return result

        return noted

    def _look(self):
        """Read the folder; a file system gives an inode's number again, we do not."""
        found, inodes = {}, {}

        def number(path):
            inode = path.lstat().st_ino
            if inode not in inodes:
                inodes[inode] = self._numbers.get(inode, self._count)
                self._count += inodes[inode] == self._count
            return inodes[inode]

        self._entries, self._contents = {}, {}
        folders = [self.root]
        for folder in folders:
            own = self._entries.setdefault(number(folder), {})
            for path in sorted(folder.iterdir()):
                own[path.name] = one = number(path)
                if path.is_dir():
                    folders.append(path)
                else:
                    stamp = (path.stat().st_mtime_ns, path.stat().st_size)
                    known = self._read.get(one)
                    found[one] = known if known and known[0] == stamp else (stamp, path.read_bytes())
                    self._contents[one] = found[one][1]
        self._numbers, self._read = inodes, found

    def _note(self, call):
        self._look()
        self.moments.append(
            Moment(
                call,
                self._entries,
                self._contents,
                dict(self._safe_entries),
                dict(self._safe_contents),
            )
        )

    def _synced(self, number):
        if number in self._contents:
            self._safe_contents[number] = self._contents[number]
        elif number in self._entries:
            self._safe_entries[number] = self._entries[number]

    def after_power_cuts(self, seed=0):
        """What may be left of each moment, by name.

        All names with unsynced bytes cut or lost, only what is safe, and mixtures by chance.
        """
        chance, seen = random.Random(seed), set()
        for number, moment in enumerate(self.moments):
            for kind in ("cut", "lost", "safe", "mixed"):
                tree = _left(moment, kind, chance)
                key = tuple(sorted(tree.items(), key=lambda item: item[0]))
                if key not in seen:
                    seen.add(key)
                    yield f"{number} before {moment.call}, {kind}", tree


def _left(moment, kind, chance):
    """Path to bytes, None for a folder."""
    tree = {}

    def bytes_of(one):
        safe = moment.safe_contents.get(one, b"")
        now = moment.contents.get(one, safe)
        if safe == now:
            return now
        kept = len(safe) if now.startswith(safe) else 0  # what is appended to takes nothing away
        choices = {"cut": now[: (kept + len(now)) // 2], "lost": now[:kept], "safe": safe}
        return choices[kind] if kind != "mixed" else chance.choice([now, *choices.values()])

    def below(path, folder):
        now, safe = moment.entries.get(folder, {}), moment.safe_entries.get(folder, {})
        kept = now if kind in ("cut", "lost") or (kind == "mixed" and chance.random() < 0.5) else safe
        for name, one in kept.items():
            is_folder = one in moment.entries or one in moment.safe_entries
            tree[f"{path}{name}"] = None if is_folder else bytes_of(one)
            if is_folder:
                below(f"{path}{name}/", one)

    below("", 0)
    return tree


def rebuild(tree, root):
    """Make a folder hold just this tree."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
