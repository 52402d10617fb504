"""Ed25519 public keys under which signatures prove nothing."""

from __future__ import annotations

from typing import Final

_P: Final = 2**255 - 19
#: y coordinates of the eight points of small order. Under such a key forged signatures verify for
#: many messages (RFC 8032 §5.1.7 leaves the choice to us); 1 and p-1, 0, and two pairs of order 8.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)


def is_weak(raw: bytes) -> bool:
    """Whether 32 raw bytes are a point of small order, or a second spelling of another key."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)  # the top bit is the sign of x
    return y >= _P or y in _SMALL_ORDER
