"""Steps on Arrow record batches; importing this room registers how batches are encoded."""

from transforms import batches as batches
