"""The key of a stream's id hashes: secret, and the same when a stream is resumed."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import UsageError
from schemas.plan import Plan
from transforms.keys import DEFAULT_REFERENCE, make_default_key, resolve

_LABEL: Final = b"penstock: ids of a stream"
_BITS: Final = 63


@dataclass(frozen=True)
class IdKey:
    """Names the secret that two seeds are derived from; pickles, and holds no secret itself.

    The dedupe's state is cut by these seeds: another key would take every row for a new one.

    Attributes:
        reference: Of the keys (`transforms.keys.resolve`).
        folder: The pipeline folder.
        key_id: Which of them: a newer one may be added while a stream lives.
        pipeline: Its name; two pipelines with one key have different seeds.
    """

    reference: str
    folder: Path
    key_id: str
    pipeline: str

    def seeds(self) -> tuple[int, int]:
        """Derive the seeds, numbers of 63 bits.

        Raises:
            UsageError: The key is not there any more.
        """
        key = resolve(self.reference, self.folder).by_id(self.key_id)
        if key is None:
            msg = (
                f"{self.reference} must hold the key {self.key_id} that the stream's state was "
                "made with; got others; restore it, or begin without a checkpoint (--from-lake)"
            )
            raise UsageError(msg)
        made = hmac.new(
            key.secret.encode(), _LABEL + b"\0" + self.pipeline.encode(), hashlib.sha256
        )
        high, low = made.digest()[:8], made.digest()[8:16]
        return int.from_bytes(high, "big") >> (64 - _BITS), int.from_bytes(low, "big") >> 1


def own_id_key(plan: Plan, key_id: str = "") -> IdKey:
    """Return the id key of a plan; its secret is made if the default one is not there.

    Args:
        plan: Names the secret.
        key_id: Which key a checkpoint was made with; the newest one by default.
    """
    if plan.secret == DEFAULT_REFERENCE:
        make_default_key(plan.folder)
    chosen = key_id or resolve(plan.secret, plan.folder).newest.id
    return IdKey(plan.secret, plan.folder, chosen, plan.name)
