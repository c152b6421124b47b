"""What came out of a benchmark: ratios, memory, growth from size to size, and whether all who competed allocated the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """One measurement. `ratio` is to the floor of the same book; `detail["allocated"]` is comparable between contestants."""

    rows: int
    variant: str
    step: str
    seconds: float
    ratio: float
    cpu_seconds: float
    peak_mb: float
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def microseconds_per_row(self) -> float:
        return self.seconds * 1e6 / self.rows


def print_report(results: Sequence[Result], notes: Sequence[str]) -> None:
    """Everything as text tables."""
    _print_measurements(results)
    _print_growth(results)
    _print_comparisons(results)
    for note in notes:
        print(f"\nNote: {note}.")
    wrong = disagreements(results)
    print("\n" + ("\n".join(wrong) if wrong else "All contestants of a book allocated the same."))


def _print_measurements(results: Sequence[Result]) -> None:
    print(f"\n{'payments':>11}  {'book':<7} {'step':<20} {'seconds':>8} {'x floor':>8} {'cpu s':>8} {'peak MB':>8} {'us/row':>8}")
    for r in results:
        figures = f"{r.seconds:>8.2f} {r.ratio:>7.1f}x {r.cpu_seconds:>8.2f} {r.peak_mb:>8,.0f} {r.microseconds_per_row:>8.2f}"
        print(f"{r.rows:>11,}  {r.variant:<7} {r.step:<20} {figures}")


def _print_growth(results: Sequence[Result]) -> None:
    """The cost per row of each step relative to the smallest book."""
    smallest, *larger = sorted({r.rows for r in results})
    cost = {(r.variant, r.step, r.rows): r.microseconds_per_row for r in results}
    if larger:
        print(f"\nCost per row, relative to {smallest:,} payments")
    for variant, step in dict.fromkeys((r.variant, r.step) for r in results):
        least = cost.get((variant, step, smallest))
        grown = [f"{rows:,}: {cost[variant, step, rows] / least:.2f}" for rows in larger if least and (variant, step, rows) in cost]
        if grown:
            print(f"{variant:<7} {step:<20} {'  '.join(grown)}")


def _print_comparisons(results: Sequence[Result]) -> None:
    """Stages of whole runs, the increment beside the whole, the skewed book beside the even one."""
    seconds = {(r.rows, r.variant, r.step): r.seconds for r in results}
    for r in results:
        if stages := r.detail.get("stages"):
            print(f"\n{r.variant} {r.rows:,} {r.step}: " + ", ".join(f"{stage} {taken:.1f} s" for stage, taken in stages.items()))
        if r.step == "increment" and (whole := seconds.get((r.rows, r.variant, "run"))):
            print(f"\n{r.variant} {r.rows:,}: the increment took {r.seconds / whole:.2f} of the whole run")
        if r.variant == "skewed" and r.step in ("matching", "run") and (even := seconds.get((r.rows, "even", r.step))):
            print(f"\nskewed {r.rows:,}: {r.step} took {r.seconds / even:.2f} of the even book")


def disagreements(results: Sequence[Result]) -> list[str]:
    """Contestants that allocated something else than others on the same book, in words: rows, money, payments and installments."""
    found = []
    for rows, variant in dict.fromkeys((r.rows, r.variant) for r in results):
        said = {r.step: r.detail["allocated"] for r in results if (r.rows, r.variant) == (rows, variant) and "allocated" in r.detail}
        said.pop("increment", None)  # has more payments
        for part, what in enumerate(("rows", "money", "payments and installments")):
            values = {step: answer[part] for step, answer in said.items() if part < len(answer)}
            if len(set(values.values())) > 1:
                found.append(f"{variant} {rows:,}: {what} allocated differ: {values}")
    return found
