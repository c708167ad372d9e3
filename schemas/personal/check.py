"""Refuses a plan that would let personal data out where the contract does not say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from schemas.contract import Column, Contract
from schemas.errors import Problem
from schemas.located import did_you_mean, dotted
from schemas.noted import Noted
from schemas.personal.flow import flow
from schemas.personal.places import Reach
from schemas.personal.traces import Level, kept
from schemas.plan import Plan, Released, Step


def check_personal(plan: Plan, reaches: Sequence[Reach], problems: Noted) -> list[Problem]:
    """Note each place of the pipeline that personal data reaches without a release.

    Args:
        plan: Checked for everything else.
        reaches: Every place that personal data reaches in it.
        problems: Takes what is wrong with the pipeline file.

    Returns:
        What is wrong with the contract: releases of places that need none.
    """
    reasons = _reasons(plan.contract)
    for reach in reaches:
        if reach.place not in reasons:
            problems.add(reach.at, _message(reach, plan.contract))
    places = {reach.place for reach in reaches}
    return [
        Problem(
            plan.contract.file,
            release.line,
            "penstock:release must name a place that personal data reaches; "
            f"got {release.place!r}; {did_you_mean(release.place, places) or 'remove it'}",
        )
        for release in plan.contract.releases
        if release.place not in places
    ]


def released(plan: Plan, reaches: Sequence[Reach]) -> tuple[Released, ...]:
    """Return where a plan lets personal data out, with the contract's reasons."""
    reasons = _reasons(plan.contract)
    own = [
        Released(
            place=f"processed.{column.path}",
            way=f"{column.path} ({column.protect}) -> {plan.processed}",
            reason=column.protect_reason or "",
        )
        for column in _kept(plan.contract)
    ]
    made = {
        reach.place: Released(
            place=reach.place, way=reach.trace.drawn(reach.to), reason=reasons[reach.place]
        )
        for reach in reaches
        if reach.place in reasons
    }
    return (*own, *made.values())


def tainted(plan: Plan) -> tuple[Step, ...]:
    """Return the steps with the columns after each that hold clear personal data."""
    after = flow(plan.contract, plan.steps)[1:]
    return tuple(
        replace(step, taint=frozenset(n for n, t in traces.items() if t.level is Level.CLEAR))
        for step, traces in zip(plan.steps, after, strict=True)
    )


def ever_clear(plan: Plan) -> frozenset[str]:
    """Return the columns that hold clear personal data before the first step, or after any."""
    stages = flow(plan.contract, plan.steps)
    return frozenset(n for traces in stages for n, t in traces.items() if t.level is Level.CLEAR)


def _reasons(contract: Contract) -> Mapping[str, str]:
    return {release.place: release.reason for release in contract.releases}


def _kept(contract: Contract) -> Iterator[Column]:
    return (column for column in contract.leaves() if kept(column))


def _message(reach: Reach, contract: Contract) -> str:
    origin = reach.trace.hops[0]
    path, _, protection = origin.removesuffix(")").rpartition(" (")
    free = protection in ("keep", "mask") and path != contract.event_time  # which cannot be
    whole = "all of " if protection == "mask" else ""  # a mask that leaves the text around
    own = f"protect {whole}{path} in the contract" if free else ""
    ways = [reach.hint, own, f"release {reach.place} with a reason in the contract"]
    said = ", or ".join(way for way in ways if way)
    drawn = reach.trace.drawn(reach.to)
    return f"`{dotted(reach.at)}`: {reach.must}; got {drawn}; {said}"
