"""Encrypt the records that a contract with personal data refuses or keeps raw."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from schemas.errors import PenstockError
from transforms.keys import Key, Keyring

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"PSK1"
_ID, _NONCE, _TAG = 8, 12, 16
_HEADER: Final = len(MAGIC) + _ID
OVERHEAD: Final = _HEADER + _NONCE + _TAG
"""Bytes that sealing adds to a record."""


class SealError(PenstockError):
    """A sealed record cannot be opened: its key is not here, or it was changed."""


def seal(records: pa.Array, keyring: Keyring) -> pa.BinaryArray:
    """Encrypt each record with AES-256-GCM; null stays null.

    A sealed record is `PSK1`, the id of the key (8 hex digits), a random nonce (12 bytes), the
    ciphertext and its tag (16 bytes). The header is authenticated. The encryption key is derived
    from the secret by HKDF-SHA-256, so that it is not the one that pseudonyms are made with.
    NIST SP 800-38D allows 2^32 records a key with random nonces.
    """
    key = keyring.newest
    cipher, header = _cipher(key), MAGIC + key.id.encode()

    def sealed(record: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return header + nonce + cipher.encrypt(nonce, record, header)

    values = records.to_pylist()
    return pa.array([None if v is None else sealed(v) for v in values], pa.binary())


def seal_records(refused: pa.RecordBatch, keyring: Keyring) -> pa.RecordBatch:
    """Seal the column `record` of refused rows (schema `schemas.names.REFUSED`)."""
    index = refused.schema.get_field_index("record")
    field = refused.schema.field(index)
    return refused.set_column(index, field, seal(refused.column(index), keyring))


def open_sealed(records: pa.Array, keyring: Keyring) -> pa.BinaryArray:
    """Decrypt what `seal` made, in memory; null stays null.

    Raises:
        SealError: When a record was not sealed, was changed, or its key is not in the keyring.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see _cipher

    ciphers: dict[bytes, AESGCM] = {}

    def opened(record: bytes) -> bytes:
        header, body = record[:_HEADER], record[_HEADER:]
        if header not in ciphers:
            ciphers[header] = _cipher(_named(header, keyring))
        try:
            return ciphers[header].decrypt(body[:_NONCE], body[_NONCE:], header)
        except (InvalidTag, ValueError) as error:
            msg = "a sealed record must be whole; got one that was changed; restore the table"
            raise SealError(msg) from error

    values = records.to_pylist()
    return pa.array([None if v is None else opened(v) for v in values], pa.binary())


def is_sealed(record: bytes) -> bool:
    """Whether the bytes begin as a sealed record does."""
    return record.startswith(MAGIC)


def _named(header: bytes, keyring: Keyring) -> Key:
    if len(header) != _HEADER or not is_sealed(header):
        msg = "a sealed record must begin with PSK1 and a key id; got other bytes; do not open it"
        raise SealError(msg)
    key_id = header[len(MAGIC) :].decode("ascii", "replace")
    key = keyring.by_id(key_id)
    if key is None:
        here = ", ".join(key.id for key in keyring.keys)
        msg = f"the key {key_id} must be in the keyring; got {here}; add the older key before them"
        raise SealError(msg)
    return key


def _cipher(key: Key) -> AESGCM:
    # Most runs seal nothing.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"penstock sealed record 1")
    return AESGCM(derive.derive(key.secret.encode()))
