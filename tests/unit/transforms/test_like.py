"""What is learnt of a sample's columns, and what is made of it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.synthetic.like.dependence import Copula, Nulls
from transforms.synthetic.like.given import Codes, Given, most_explaining, most_telling
from transforms.synthetic.like.guard import Guard, Seen
from transforms.synthetic.like.quantiles import quantiles_of, step_of, usual_values
from transforms.synthetic.like.repeats import Repeats
from transforms.synthetic.like.rhythm import DAY_US, HOUR_US, rhythm_of, step_us_of
from transforms.synthetic.like.text_shapes import shapes_of

LEAST = 20


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(200, 3000),
    heavy=st.floats(0.1, 2.5),
    zeros=st.floats(0, 0.9),
    digits=st.integers(0, 3),
)
@settings(max_examples=40)
def test_numbers_keep_their_distribution_and_not_their_extremes(
    seed: int, count: int, heavy: float, zeros: float, digits: int
) -> None:
    own = rng(seed)
    values = np.where(own.random(count) < zeros, 0, np.exp(own.normal(3, heavy, count)))
    values = np.round(values, digits)
    found = quantiles_of(values, LEAST, shared=True, step=10.0**-digits)
    assert found is not None
    made = found.at(own.standard_normal(5000))
    at = np.sort(np.concatenate([values, made]))
    shares = [np.searchsorted(np.sort(v), at, "right") / len(v) for v in (values, made)]
    # Half a bin, what may be short of LEAST rows between two values, and chance.
    assert np.abs(shares[0] - shares[1]).max() < 2 * LEAST / count + 0.04
    for extreme in (values.min(), values.max()):
        if (values == extreme).sum() < LEAST:
            assert extreme not in np.round(made, digits)
    assert made.min() >= values.min()
    assert made.max() <= values.max()


def test_few_numbers_say_nothing() -> None:
    assert quantiles_of(np.arange(39.0), LEAST, shared=True) is None


def test_numbers_that_many_rows_share_come_out_as_they_are() -> None:
    shared = quantiles_of(np.repeat([10.0, 20.0], 50), LEAST, shared=True)
    assert shared is not None
    assert set(shared.at(rng().standard_normal(1000)).tolist()) <= {10.0, 20.0}


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([1, 2, 3], "1"), ([100, 300, 1200], "100"), ([0.25, 1.5, 7], "0.25"),
        ([1.05, 2.1, 9.95], "0.05"), ([0, 0], "1"), ([np.pi, np.e], None), ([1e300, 1], None),
    ],
)  # fmt: skip
def test_steps_of_numbers_are_found(values: list[float], step: str | None) -> None:
    assert step_of(np.array(values, float)) == (None if step is None else Decimal(step))


def test_only_numbers_that_come_again_are_usual() -> None:
    codes = np.repeat([515.0, 600.0, 1259.0, 1300.0], 50)
    assert usual_values(codes, LEAST).tolist() == [515, 600, 1259, 1300]  # type: ignore[union-attr]
    assert usual_values(np.concatenate([np.zeros(900), rng().random(100)]), LEAST) is None


def test_steps_of_times_are_found() -> None:
    assert step_us_of(np.array([0, 3, 25]) * DAY_US) == DAY_US
    assert step_us_of(np.array([0, 3, 25]) * HOUR_US + 60_000_000) == 60_000_000
    assert step_us_of(np.array([0, 3, 25])) == 1


def test_what_enough_rows_share_may_be_used_but_of_persons() -> None:
    guard = Guard(never=("NA",))
    values = pa.array(["a"] * 30 + ["b"] * 19 + ["NA"] * 40 + ["c\n"] * 40 + ["d"] * 60)
    rows = np.concatenate([np.arange(129), np.full(60, 129)])  # one record has every d
    known, counts = guard.shared(values, rows, personal=False)
    assert (known.to_pylist(), counts.tolist()) == (["a"], [30])
    assert len(guard.shared(values, rows, personal=True)[0]) == 0


def test_values_of_the_sample_are_found_again() -> None:
    seen = Seen.of(pa.array(["x", "yy", "z"]))
    assert seen.among(pa.array(["yy", "y", "x", ""])).tolist() == [False] * 0 + [
        True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        ([f"UA-{i:05d}" for i in range(400)], r"UA-0\d{4}"),
        ([f"{i:x}".zfill(8) + "-" + f"{i * 7919 % 65536:x}".zfill(4) for i in range(4000)],
         r"[0-9a-f]{8}-[0-9a-f]{4}"),
        ([f"{'x' * (i % 9 + 1)}.{'y' * (i % 7 + 3)}@mail.test" for i in range(400)],
         r"[a-z]{1,9}\.[a-z]{3,9}@[a-z]{4}\.[a-z]{4}"),
        (["12 345 678"] * 400, "12 345 678"),
        (["\u00c5rhus C", "Sk\u00f6vde B"] * 200, r"[A-Za-z]{5,6} [BC]"),
    ],
)  # fmt: skip
def test_texts_keep_their_shape(texts: list[str], pattern: str) -> None:
    shapes = shapes_of(pa.array(texts), LEAST, personal=False)
    assert shapes is not None
    made = shapes.make(500, rng())
    assert pa.compute.all(pa.compute.match_substring_regex(made, f"^{pattern}$")).as_py()


def test_texts_of_persons_keep_only_kinds_of_characters() -> None:
    texts = pa.array([f"Anna-{i % 90 + 10}" for i in range(400)])
    shapes = shapes_of(texts, LEAST, personal=True)
    assert shapes is not None
    made = shapes.make(500, rng()).to_pylist()
    assert len({text[:4] for text in made}) > 400
    assert all(text[0].isupper() and text[1:4].islower() and text[4] == "-" for text in made)


def test_hexadecimal_texts_of_persons_stay_so() -> None:
    own = rng()
    texts = pa.array([own.bytes(8).hex() for _ in range(400)])
    shapes = shapes_of(texts, LEAST, personal=True)
    assert shapes is not None
    assert all(len(bytes.fromhex(text)) == 8 for text in shapes.make(300, own).to_pylist())


def test_free_texts_keep_their_lengths() -> None:
    own = rng()
    texts = ["".join(own.choice(list("abc ,.!?"), int(n))) for n in own.integers(70, 200, 400)]
    shapes = shapes_of(pa.array(texts), LEAST, personal=False)
    assert shapes is not None
    lengths = np.array([len(text) for text in shapes.make(2000, rng()).to_pylist()])
    assert abs(lengths.mean() - np.mean([len(t) for t in texts])) < 4
    assert (lengths.min(), lengths.max()) >= (70, 190)


def test_frequent_keys_stay_frequent_and_rare_ones_become_more() -> None:
    counts = np.concatenate([[400, 200], np.full(400, 1)])
    repeats = Repeats.of(counts)
    keys = repeats.wanted(10_000)
    assert keys > 402
    picked = np.bincount(repeats.pick(keys, 10_000, rng()), minlength=keys)
    assert abs(picked[0] - 4000) < 200
    assert abs(picked[1] - 2000) < 200
    assert picked[2:].max() < 40
    assert Repeats.of(np.full(50, 20)).wanted(10**6) == 50  # all are known


def test_nulls_come_together_and_by_the_value_that_they_follow_from() -> None:
    own = rng()
    kind = own.integers(0, 2, 4000)
    amount = (kind == 0) | (own.random(4000) < 0.1)
    nulls = Nulls.of({"amount": amount, "currency": amount}, LEAST, {"kind": Codes(kind, 2)})
    codes = own.integers(0, 2, 20_000)
    made = nulls.make(20_000, own, {"kind": codes})
    assert (made["amount"] == made["currency"]).all()
    assert made["amount"][codes == 0].all()
    assert abs(made["amount"][codes == 1].mean() - 0.1) < 0.02


def test_rare_patterns_of_nulls_are_not_kept_together() -> None:
    masks = {f"c{i}": np.zeros(1000, bool) for i in range(70)}
    for i, mask in enumerate(masks.values()):
        mask[i * 7 : i * 7 + 7] = True
    nulls = Nulls.of(masks, LEAST, {})
    assert len(nulls.patterns) == 1
    made = nulls.make(50_000, rng(), {})
    assert abs(made["c69"].mean() - 0.007) < 0.002


def test_values_follow_from_others_as_far_as_enough_rows_say_so() -> None:
    own = rng()
    city = own.choice(5, 3000, p=[0.5, 0.3, 0.1, 0.096, 0.004])
    country = np.array([0, 0, 1, 1, 2])[city]
    country[:10] = 2  # pairs that fewer than LEAST rows have
    country[10:22] = 1 - np.minimum(country[10:22], 1)
    given = Given.of({"city": Codes(city, 5)}, Codes(country, 3), LEAST)
    parents = own.choice(5, 20_000, p=[0.5, 0.3, 0.1, 0.096, 0.004])
    made = given.make({"city": parents}, own)
    assert (made[parents == 1] == 0).mean() > 0.98
    assert (made[(parents == 2) | (parents == 3)] == 1).mean() > 0.98
    assert (made[parents == 4] == 2).mean() < 0.9  # a dozen rows do not say where the city is
    assert abs((made == 2).mean() - (country == 2).mean()) < 0.01
    columns = {"noise": Codes(own.integers(0, 9, 3000), 9), "city": Codes(city, 5)}
    assert list(most_telling(Codes(country, 3), columns)) == ["city"]
    assert most_telling(Codes(own.integers(0, 3, 3000), 3), columns) == {}
    assert most_explaining(country + own.normal(0, 0.1, 3000), columns) == "city"
    assert most_explaining(own.normal(0, 1, 3000), columns) is None


def test_a_value_may_follow_from_two_others_together() -> None:
    own = rng()
    first, second = own.integers(0, 3, 6000), own.integers(0, 4, 6000)
    columns = {"first": Codes(first, 3), "second": Codes(second, 4)}
    both = Codes((first + second) % 3, 3)
    parents = most_telling(Codes(first * 4 + second, 12), columns)
    assert set(parents) == {"first", "second"}
    made = Given.of(parents, both, LEAST).make({"first": first, "second": second}, own)
    assert (made == both.codes).all()


def test_numbers_keep_their_rank_correlation_over_missing_values() -> None:
    own = rng()
    first = own.normal(0, 1, 5000)
    columns = {"a": first, "b": np.exp(-first), "c": own.normal(0, 1, 5000)}
    columns["b"][own.random(5000) < 0.3] = np.nan
    made = Copula.of(columns).make(20_000, own)
    assert np.corrcoef(made["a"], made["b"])[0, 1] < -0.99
    assert abs(np.corrcoef(made["a"], made["c"])[0, 1]) < 0.05


def test_events_keep_days_hours_and_gaps() -> None:
    own = rng()
    day = own.choice([0, 1, 2, 8, 9, 15], 6000, p=[0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
    hour = own.choice([8, 9, 17], 6000, p=[0.2, 0.5, 0.3])
    times = 20_000 * DAY_US + day * DAY_US + hour * HOUR_US + own.integers(0, HOUR_US, 6000)
    rhythm = rhythm_of(times, LEAST, 1, whole=True)
    edges, before = rhythm.cells(rhythm.span)
    made = np.interp((np.arange(20_000) + 0.5) / 20_000, before, edges).astype(np.int64)
    assert set((made // HOUR_US % 24).tolist()) <= {8, 9, 17}
    share = np.bincount(made // DAY_US - 20_000, minlength=16) / 20_000
    for number, wanted in zip([0, 1, 2, 8, 9, 15], [0.1, 0.2, 0.1, 0.3, 0.2, 0.1], strict=True):
        assert abs(share[number] - wanted) < 0.02
    assert share[3:8].sum() + share[10:15].sum() < 0.0001
