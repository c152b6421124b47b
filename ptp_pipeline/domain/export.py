"""Making text safe in a spreadsheet: a cell that would start a formula gets a leading apostrophe.

One rule for every CSV we write, in Python and in SQL. Only text cells are guarded: a negative number is a number.
How files are written is not known here.
"""

FORMULA_STARTS = "=+-@\t\r"


def guard(text: str) -> str:
    """`text`, or `'text` if a spreadsheet would take it for a formula."""
    return f"'{text}" if text[:1] and text[0] in FORMULA_STARTS else text


def guard_sql(column: str) -> str:
    """The same rule as an SQL expression over `column`, which is inserted as written (quote it yourself); NULL stays NULL."""
    starts = ", ".join(f"chr({ord(start)})" for start in FORMULA_STARTS)
    return f"case when left({column}, 1) in ({starts}) then '''' || {column} else {column} end"
