"""What a plan would change against the last one that landed something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from schemas.plan import Plan
from schemas.plan_changes import Change, changes
from schemas.plan_json import to_json
from transforms.commit.lake import open_lake


@dataclass(frozen=True)
class Difference:
    """A plan against the last one that landed something.

    Attributes:
        run_id: The run that this other plan was of; empty if nothing has landed.
        changes: What differs.
        effects: What the next run does about it, as sentences.
    """

    run_id: str
    changes: list[Change]
    effects: list[str]

    def json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "against": self.run_id or None,
            "changes": [one._asdict() for one in self.changes],
            "effects": self.effects,
        }


def difference(plan: Plan) -> Difference:
    """Compare a plan with the last one of its mode that landed something; else of any mode."""
    if not (plan.out / "lake").is_dir():
        return Difference("", [], [])
    lake = open_lake(plan)
    if not lake.exists():
        return Difference("", [], [])
    deployed = lake.deployed_plan(plan.mode) or lake.deployed_plan()
    if deployed is None:
        return Difference("", [], [])
    found = changes(json.loads(deployed.plan), json.loads(json.dumps(to_json(plan))))
    changed = [part for part, value in plan.parts.items() if deployed.parts.get(part) != value]
    logic = [part for part in changed if part in ("contract", "steps")]
    aggregates = [part.partition(":")[2] for part in changed if part.startswith("aggregate:")]
    effects = []
    if logic:
        effects.append(
            f"{' and '.join(logic)}: rows that landed keep the old logic until --rebuild; refused "
            "ones can be replayed (penstock dlq replay)"
        )
    if aggregates:
        effects.append(f"{', '.join(aggregates)}: computed anew over all windows")
    return Difference(deployed.run_id, found, effects)
