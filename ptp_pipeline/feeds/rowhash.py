"""A hash of 64 bits per row, the same for equal content on every machine and with every version of every library.

Polars and DuckDB hash as fast, but say that the next version may hash otherwise; sha256 of every row costs more than reading the
file. Sums of row hashes are the fingerprints in the ledger: what is here may not change. It is no seal against forgers: it tells
apart what was not made to collide.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

_INLINE = 12  # bytes of a text that Arrow keeps in its 16-byte view, padded with zeros: its length (4), then the text itself
_MIX = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64
_ROWS = 1 << 15  # at once: what one step writes is still in the processor's cache when the next one reads it


def row_sum(columns: "Mapping[str, pl.Series]") -> int:
    """The sum of the hashes of all rows, modulo 2^64: the same in any order of rows and columns. Columns are texts and whole numbers;
    a null counts as if its column were not there."""
    import numpy as np

    height = len(next(iter(columns.values())))
    readers = [_reader(name, series.rechunk()) for name, series in columns.items()]
    total = np.uint64(0)
    with np.errstate(over="ignore"):
        for start in range(0, height, _ROWS):
            stop = min(start + _ROWS, height)
            rows = np.zeros(stop - start, np.uint64)
            for add in readers:
                add(rows, start, stop)
            total += _stirred(_stirred(rows, _MIX[0]), _MIX[1]).sum(dtype=np.uint64)
    return int(total)


def _stirred(word: Any, factor: int) -> Any:
    """Multiplied, and its upper half brought down: changes the array it is given."""
    import numpy as np

    word *= np.uint64(factor)
    word ^= word >> np.uint64(32)
    return word


def _hash(name: str, first: Any, second: Any = None) -> Any:
    """Of one or two words of each row's value in a column; the same words count differently in another column."""
    import numpy as np

    salt = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    word = _stirred(first + salt, _MIX[0])
    if second is not None:
        word += second
    return _stirred(word, _MIX[1])


def _reader(name: str, series: "pl.Series") -> Callable[[Any, int, int], None]:
    """A function that adds the hashes of a column's rows start to stop."""
    import numpy as np
    import polars as pl

    present = None if series.null_count() == 0 else series.is_not_null().to_numpy()
    if series.dtype != pl.String:
        values = series.to_physical().cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)

        def add_numbers(rows: Any, start: int, stop: int) -> None:
            hashed = _hash(name, values[start:stop])
            rows += hashed if present is None else hashed * present[start:stop]

        return add_numbers
    array: Any = series.to_arrow(compat_level=pl.CompatLevel.newest())
    _, view, *data = array.buffers()
    views = np.frombuffer(view, np.uint64, 2 * len(array), 16 * array.offset).reshape(-1, 2)
    texts = [np.frombuffer(buffer, np.uint8) for buffer in data]

    def add_texts(rows: Any, start: int, stop: int) -> None:
        held = views[start:stop]
        lengths = held[:, 0] & np.uint64(0xFFFFFFFF)
        here = None if present is None else present[start:stop]
        is_long = lengths > _INLINE if here is None else (lengths > _INLINE) & here
        if not is_long.any():
            hashed = _hash(name, held[:, 0], held[:, 1])
            rows += hashed if here is None else hashed * here
            return
        short = np.flatnonzero(~is_long if here is None else here & ~is_long)
        rows[short] += _hash(name, held[short, 0], held[short, 1])
        long = np.flatnonzero(is_long)
        rows[long] += _long(name, held[long], lengths[long].astype(np.int64), texts)

    return add_texts


def _long(name: str, views: Any, lengths: Any, texts: list[Any]) -> Any:
    """Hashes of texts that stand outside their view; buffer number and offset are in its second half."""
    import numpy as np

    hashed = _hash(name, views[:, 0])
    buffers = (views[:, 1] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    offsets = (views[:, 1] >> np.uint64(32)).astype(np.int64)
    for buffer in np.unique(buffers):
        rows, place = np.flatnonzero(buffers == buffer), 0
        while len(rows):
            words = _eight_bytes(texts[buffer], offsets[rows] + 8 * place, np.minimum(lengths[rows] - 8 * place, 8))
            hashed[rows] = _hash(name, hashed[rows], words)
            place += 1
            rows = rows[lengths[rows] > 8 * place]
    return hashed


def _eight_bytes(data: Any, offsets: Any, lengths: Any) -> Any:
    """The bytes at each offset as one word, those beyond the length as zeros."""
    import numpy as np

    # A text may end with its buffer, which has more than eight bytes: the word is then read from further left, and shifted.
    last = len(data) - 8
    starts = np.minimum(offsets, last)
    words = np.ndarray((last + 1,), "<u8", data, strides=(1,))[starts] >> ((offsets - starts) * 8).astype(np.uint64)
    return words & (np.uint64(0xFFFFFFFFFFFFFFFF) >> (64 - lengths * 8).astype(np.uint64))
