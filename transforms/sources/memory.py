"""What earlier runs landed of the files of a source, and what a file has become since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from transforms.sources.identity import Remembered, hash_of
from transforms.sources.places import StoredFile
from transforms.sources.slices import Slice
from transforms.sources.stored import hash_stored

_GENERATION: Final = re.compile(r"(.*?)(?:@(\d+))?", re.DOTALL)


class Memory:
    """The newest generation of each source, found by its name without `@n`.

    Hashes that it takes of stored bytes are kept, since members of an archive share them.
    """

    def __init__(self, remembered: Mapping[str, Remembered]) -> None:
        """Take what is remembered, by `_source`."""
        self._latest: dict[str, Remembered] = {}
        self._by_file: dict[str, list[Remembered]] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        for name in sorted(remembered, key=generation):
            self._latest[base_of(name)] = remembered[name]
        for base, found in self._latest.items():
            self._by_file.setdefault(base.partition("!")[0], []).append(found)

    def latest(self, source: str) -> Remembered | None:
        """Return what is remembered of a source, whatever its generation."""
        return self._latest.get(source)

    def landed(self, file: StoredFile) -> list[str]:
        """Return the sources of a file if it is the version that landed, without opening it.

        One of them is enough: a commit lands all members of an archive or none.
        """
        found = self._by_file.get(file.uri, [])
        if any(one.is_version(file.identity) for one in found):
            return [one.source for one in found if not one.forgotten]
        return []

    def name(self, whole: Slice) -> str:
        """Return what a source is called when all of it is read anew.

        Its last name if it is what landed under that, or has grown; otherwise the next generation:
        a position of one name means one content for good.
        """
        before = self.latest(whole.source)
        if before is None:
            return whole.source
        kept = not before.forgotten and (
            before.is_version(whole.identity)
            or self.is_same(whole, before)
            or self.has_grown(whole, before)
        )
        return before.source if kept else next_generation(before.source)

    def is_same(self, whole: Slice, before: Remembered) -> bool:
        """Return whether the stored bytes are what they were."""
        return whole.identity.size == before.size and self._has(whole, before)

    def has_grown(self, whole: Slice, before: Remembered) -> bool:
        """Return whether whole records were added and nothing else changed."""
        can = whole.format in ("json", "csv") and whole.member is None and before.terminated
        return can and whole.identity.size > before.size and self._has(whole, before)

    def _has(self, whole: Slice, before: Remembered) -> bool:
        """Return whether a file begins with the bytes that are remembered."""
        key = (whole.path, before.size)
        if key not in self._hashes:
            digests = hash_stored(whole.path, whole.identity, before.size)
            self._hashes[key] = hash_of(digests)
        return self._hashes[key] == before.hash


def generation(source: str) -> int:
    """Return the generation that a source name says."""
    found = _GENERATION.fullmatch(source)
    return int(found[2]) if found and found[2] else 1


def next_generation(source: str) -> str:
    """Return the name of a source that was rewritten."""
    return f"{base_of(source)}@{generation(source) + 1}"


def base_of(source: str) -> str:
    """Return the name of a source without its generation."""
    return source if generation(source) == 1 else source.rpartition("@")[0]
