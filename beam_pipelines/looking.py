"""Protection for those who only look: nothing that it makes is kept."""

from __future__ import annotations

import secrets
from functools import cached_property

from schemas.errors import UsageError
from schemas.plan import Plan
from transforms.keys import Key, Keyring
from transforms.protect import Protector


class LookingProtector(Protector):
    """Protects for a look: without the pipeline's key it makes one for itself, and keeps none."""

    def __init__(self, plan: Plan) -> None:
        """Read the keys of a plan, or make one."""
        super().__init__(plan.contract, plan.secret, plan.folder)
        self.notes: list[str] = []
        _ = self.keyring

    @cached_property
    def keyring(self) -> Keyring | None:
        """The keys, or one that lives as long as this process."""
        try:
            return Protector(self.contract, self.secret, self.folder).keyring
        except UsageError:
            self.notes.append(
                f"no key could be read from {self.secret}: pseudonyms are made with one for this "
                "screen only"
            )
            return Keyring((Key(secrets.token_urlsafe(32)),))
