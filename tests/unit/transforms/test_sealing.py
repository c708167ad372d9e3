"""Sealed records open with their key and with no other, and never in parts."""

from __future__ import annotations

import pyarrow as pa
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.keys import Key, Keyring
from transforms.sealing import MAGIC, OVERHEAD, SealError, is_sealed, open_sealed, seal

OLD, NEW = Key("old-" * 8), Key("new-" * 8)
BOTH = Keyring((OLD, NEW))


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=50))))
def test_what_is_sealed_opens_to_the_same_bytes(records: list[bytes | None]) -> None:
    sealed = seal(pa.array(records, pa.binary()), BOTH)
    assert open_sealed(sealed, BOTH).to_pylist() == records
    for record, made in zip(records, sealed.to_pylist(), strict=True):
        if record is not None:
            assert len(made) == len(record) + OVERHEAD
            assert is_sealed(made)
            assert made.startswith(MAGIC + NEW.id.encode())


def test_no_byte_of_a_record_shows_and_equal_records_look_different() -> None:
    first, second = seal(pa.array([b"canary-7b1d"] * 2), BOTH).to_pylist()
    assert b"canary" not in first
    assert first != second


def test_a_record_of_an_older_key_opens_after_rotation() -> None:
    sealed = seal(pa.array([b"x"]), Keyring((OLD,)))
    assert open_sealed(sealed, BOTH).to_pylist() == [b"x"]


def test_without_its_key_a_record_stays_closed() -> None:
    sealed = seal(pa.array([b"x"]), BOTH)
    with pytest.raises(SealError, match=f"the key {NEW.id} must be in the keyring; got {OLD.id}"):
        open_sealed(sealed, Keyring((OLD,)))


@settings(max_examples=60)
@given(st.integers(0, OVERHEAD + 9), st.integers(1, 255))
def test_a_changed_byte_is_noticed_wherever_it_is(at: int, change: int) -> None:
    (sealed,) = seal(pa.array([b"0123456789"]), BOTH).to_pylist()
    broken = sealed[:at] + bytes([sealed[at] ^ change]) + sealed[at + 1 :]
    with pytest.raises(SealError):
        open_sealed(pa.array([broken], pa.binary()), BOTH)


@pytest.mark.parametrize("cut", [0, 3, 4, 11, 12, 20, 39])
def test_a_cut_record_is_noticed(cut: int) -> None:
    (sealed,) = seal(pa.array([b""]), BOTH).to_pylist()
    with pytest.raises(SealError):
        open_sealed(pa.array([sealed[:cut]], pa.binary()), BOTH)


def test_the_pseudonym_secret_itself_does_not_open_records() -> None:
    (sealed,) = seal(pa.array([b"x"]), Keyring((Key("k" * 32),))).to_pylist()
    nonce, body = sealed[12:24], sealed[24:]
    with pytest.raises(InvalidTag):
        AESGCM(b"k" * 32).decrypt(nonce, body, sealed[:12])
