"""How alike two texts are, for suggestions where a payment may belong: the one thing of them that SQL does not do well.

Which texts are compared, and what a likeness is worth, is decided in sql/warehouse/matching/suggestion_*.sql. No payment is looked at
here, only columns of texts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptp_pipeline.warehouse.models import PythonStep

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_TABLE = "matching.suggestion_likenesses"
# Arrow and C++ take a column at once, but the texts pass through Python's memory: a million pairs are about 200 MB.
_AT_ONCE = 500_000


def measure_likenesses(con: "duckdb.DuckDBPyConnection") -> None:
    """Fill in the likeness of every pair of texts."""
    (count,) = con.execute(f"select count(*) from {_TABLE}").fetchall()[0]
    if count == 0:  # most runs of small books; loading the library would be all they wait for
        return
    import polars as pl
    from rapidfuzz import fuzz, utils

    # An id is compared character by character; a name may stand anywhere in a reference, its words in any order.
    scorers: dict[str, tuple[Callable[..., float], Callable[[str], str] | None]] = {
        "id": (fuzz.ratio, None),
        "name": (fuzz.token_set_ratio, utils.default_process),
    }
    pairs = con.sql(f"select how, left_text, right_text from {_TABLE} order by all").pl()
    measured = [
        _measured(part, *scorers[how])
        for how in scorers
        for part in pairs.filter(pl.col("how") == how).iter_slices(_AT_ONCE)
    ]  # fmt: skip
    con.execute(f"delete from {_TABLE}")
    for frame in measured:
        con.register("measured", frame)
        con.execute(f"insert into {_TABLE} select how, left_text, right_text, likeness from measured")
        con.unregister("measured")


def _measured(pairs: "pl.DataFrame", scorer: Any, processor: Any) -> "pl.DataFrame":
    import polars as pl
    from rapidfuzz import process

    scores = process.cpdist(pairs["left_text"].to_list(), pairs["right_text"].to_list(), scorer=scorer, processor=processor)
    return pairs.with_columns(pl.Series("likeness", scores).floor().cast(pl.Int32))


SUGGESTION_STEPS: dict[str, PythonStep] = {"suggestion_likenesses": measure_likenesses}
