"""`python -m bench`: writes made-up books, runs every contestant in a process of its own, prints ratios to the floor of the same run.

This process stays small: books are made and measured by its children.
"""

import json
import os
import platform
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.books import AS_OF, MOST_INSTALLMENTS, VARIANTS
from bench.report import Result, disagreements, print_report
from ptp_pipeline.settings import CHECKOUT

STEPS = {
    "floor": "DuckDB loads payments.csv and installments.csv, typed, into memory: 1x",
    "fast": "the allocation statement alone, Parquet to Parquet (even book)",
    "matching": "the matching stage, Parquet to Parquet",
    "same": "matching again on 1 thread, with 1 GB, and on shuffled rows: the same tables must come out",
    "run": "the whole `ptp run`: CSV in the inbox to published files",
    "increment": "a further `ptp run` after a small file was dropped: 1,000 payments on 5 million",
    "least": "writing alone, from memory: what matching and the run wrote; nobody who makes these tables can do without",
    "loop": "csv and Decimal in plain Python (even book)",
    "pandas": "cumulated sums and as-of merges in pandas (even book)",
}
ONLY_EVEN = ("fast", "loop", "pandas")
QUICK = ("100k", ("even", "mixed"), ("floor", "fast", "matching", "run", "loop", "pandas"))
SLOW_SECONDS = 180
LEAST_ROWS = 1000  # a book needs a few plans
_PTP_RUN = ("-m", "ptp_pipeline.cli", "run", "--org", "bench", "--as-of", AS_OF.isoformat(), "--json")
_OWN_MODULES = (
    "^(" + "|".join(sorted({path.stem for path in (CHECKOUT / "ptp_pipeline").rglob("*.py")} - {"__init__", "__main__"})) + r")\.py"
)
_UNITS = {"k": 1_000, "m": 1_000_000}


class Failed(Exception):
    """A contestant ended badly; the message is what it said last."""


@dataclass
class Bench:
    """One run of the benchmark over some books."""

    folder: Path
    threads: int
    memory_limit: str
    repeat: int
    repeat_short: int = 3  # what takes moments is asked so often at least: whatever disturbs a measurement shows most there
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def measure(self, rows: int, variant: str, steps: list[str]) -> None:
        """All wanted steps on one book."""
        book = self.folder / f"{variant}-{rows}"
        say(f"{variant}, {rows:,} payments: making the book")
        self._child("-m", "bench.books", str(book), str(rows), variant)
        floor = self._best_of_short("floor", book)
        floor_seconds = floor["seconds"]
        self._keep(rows, variant, "floor", floor, floor_seconds)
        for step in steps:
            if step == "floor" or (step in ONLY_EVEN and variant != "even"):
                continue
            if step in ("loop", "pandas") and (slow := self._too_slow(step, rows)):
                self.notes.append(f"{step} left out at {rows:,}: {slow}")
            elif step in ("run", "increment") and variant == "skewed" and rows // 10 > MOST_INSTALLMENTS:
                self.notes.append(
                    f"{step} left out on skewed at {rows:,}: a plan in the ledger has at most {MOST_INSTALLMENTS:,} installments"
                )
            else:
                for name, found in getattr(self, f"_{step}")(book):
                    self._keep(rows, variant, name, found, floor_seconds)

    def _fast(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        self._contestant("fast_inputs", book)
        yield "fast", self._best_of_short("fast", book)

    def _matching(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "matching", self._best("matching", book, self.repeat)

    def _same(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        known = (r.detail["digest"] for r in self.results if r.step == "matching" and book.name == f"{r.variant}-{r.rows}")
        expected = next(known, None) or self._contestant("matching", book)["digest"]
        for name, options in {
            "matching, 1 thread": ["--threads", "1"],
            "matching, 1 GB": ["--memory-limit", "1GB"],
            "matching, shuffled": ["--shuffled"],
        }.items():
            found = self._contestant("matching", book, *options)
            if found["digest"] != expected:
                raise Failed(f"{name} gives other tables: {found['digest']} instead of {expected}")
            yield name, found

    def _least(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "least, matching", self._best_of_short("write_matching", book)
        if (book / "home" / "published").exists():
            yield "least, published", self._best_of_short("write_published", book)

    def _loop(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "loop", self._contestant("loop", book)

    def _pandas(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "pandas", self._contestant("pandas", book)

    def set_up_run(self, book: Path) -> None:
        """A fresh org with the book's plans, its files in the inbox."""
        shutil.rmtree(book / "home", ignore_errors=True)
        say("  setting the org up (not measured)")
        self._contestant("set_up_run", book)

    def _run(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        self.set_up_run(book)
        yield "run", self._ptp_run(book)

    def _increment(self, book: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        done = book / "home" / "increment"
        if done.exists() or not (book / "home" / "published").exists():
            list(self._run(book))
        done.touch()
        self._contestant("drop_increment", book)
        yield "increment", self._ptp_run(book)

    def _ptp_run(self, book: Path) -> dict[str, Any]:
        say("  ptp run …")
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *_PTP_RUN], cwd=CHECKOUT, env=self._run_environment(book), stdout=subprocess.PIPE
        )
        printed = process.stdout.read() if process.stdout else b""
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"ptp run ended with {process.returncode}: {printed.decode()[-2000:]}")
        run_id = json.loads(printed)["run_id"]
        used_by_run = {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
        return {**used_by_run, **self._contestant("after_run", book, "--run-id", run_id)}

    def profile_run(self, book: Path) -> None:
        """Print where a whole run spends its time, by our own functions. The profiler itself slows Python down, but not DuckDB."""
        self.set_up_run(book)
        target = book / "run.prof"
        command = [sys.executable, "-m", "cProfile", "-o", str(target), *_PTP_RUN]
        done = subprocess.run(command, cwd=CHECKOUT, env=self._run_environment(book), stdout=subprocess.PIPE, check=False)  # noqa: S603
        if done.returncode:
            raise Failed(f"ptp run ended with {done.returncode}: {done.stdout.decode()[-2000:]}")
        pstats.Stats(str(target)).strip_dirs().sort_stats("cumulative").print_stats(_OWN_MODULES, 60)

    def _run_environment(self, book: Path) -> dict[str, str]:
        return {
            **self._environment(),
            "PTP_HOME": str(book / "home"),
            "PTP_SETTLE_SECONDS": "0",
            "PTP_MAX_FILE_MB": "20000",
            "PTP_DUCKDB_THREADS": str(self.threads),
            "PTP_DUCKDB_MEMORY_LIMIT": self.memory_limit,
        }

    def _too_slow(self, step: str, rows: int) -> str:
        """Why a baseline is not asked to do so many rows: from what it took for fewer."""
        known = [r for r in self.results if r.step == step]
        expected = known[-1].seconds * rows / known[-1].rows if known else 0
        return f"about {expected:.0f} s expected, from {known[-1].seconds:.0f} s for {known[-1].rows:,}" if expected > SLOW_SECONDS else ""

    def _best(self, name: str, book: Path, times: int) -> dict[str, Any]:
        """The fastest of several: whatever disturbs a measurement makes it slower, never faster."""
        return min((self._contestant(name, book) for _ in range(times)), key=lambda found: found["seconds"])

    def _best_of_short(self, name: str, book: Path) -> dict[str, Any]:
        return self._best(name, book, max(self.repeat_short, self.repeat))

    def _contestant(self, name: str, book: Path, *options: str) -> dict[str, Any]:
        limits = ["--threads", str(self.threads), "--memory-limit", self.memory_limit]
        printed = self._child("-m", "bench.contestants", name, str(book), *limits, *options)
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    def _child(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, *arguments], cwd=CHECKOUT, env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"{' '.join(arguments[-4:])} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Somebody's own installation must not take part."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PTP_", "RESEND_", "DAGSTER_"))}
        threads = str(self.threads)
        return {**clean, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}

    def _keep(self, rows: int, variant: str, step: str, found: dict[str, Any], floor_seconds: float) -> None:
        figures = {name: found.pop(name) for name in ("seconds", "cpu_seconds", "peak_mb")}
        result = Result(rows, variant, step, ratio=figures["seconds"] / floor_seconds, detail=found, **figures)
        self.results.append(result)
        say(f"  {step}: {result.seconds:.2f} s, {result.ratio:.1f}x, {result.peak_mb:,.0f} MB")
        if scope := found.get("scope"):
            say(f"    {scope}")
        for stage, seconds in found.get("stages", {}).items():
            say(f"    {stage}: {seconds:.1f} s")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def environment() -> dict[str, Any]:
    """What the figures were measured with."""
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": {name: version(name) for name in ("duckdb", "polars", "pandas", "pyarrow", "dagster")},
    }


def parse_rows(text: str) -> int:
    """`1m`, `250k` or a plain number. Raises ValueError."""
    text = text.strip().lower().replace("_", "").replace(",", "")
    unit = _UNITS.get(text[-1:], 1)
    rows = int(float(text[:-1]) * unit) if unit > 1 else int(text)
    if rows < LEAST_ROWS:
        raise ValueError(text)
    return rows


def _listed(meanings: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<10} {meaning}" for name, meaning in meanings.items())


def arguments(argv: list[str] | None = None) -> Namespace:
    parser = ArgumentParser(
        prog="python -m bench",
        description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else "",
        epilog=f"steps:\n{_listed(STEPS)}\n\nbooks:\n{_listed(VARIANTS)}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", help="payments per book, e.g. 1m,5m,20m; default 1m")
    parser.add_argument("--variants", help="kinds of book, see below; default all")
    parser.add_argument("--steps", help="what to measure, see below; default all")
    parser.add_argument("--quick", action="store_true", help="other defaults: 100k, an even and a mixed book, without same and increment")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="3GB", help="for DuckDB, e.g. 4GB")
    parser.add_argument("--repeat", type=int, default=1, help="take the best of so many for matching; floor and fast have three at least")
    parser.add_argument("--folder", type=Path, help="keep books here, use those that are; default: a temporary folder, removed afterwards")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument(
        "--profile",
        choices=("core", "matching", "outcomes", "published", "run"),
        metavar="STAGE",
        help="instead, print seconds per model of a stage (core, matching, outcomes, published), or per function of a run",
    )
    options = parser.parse_args(argv)
    rows, variants, steps = QUICK if options.quick else ("1m", tuple(VARIANTS), tuple(STEPS))
    try:
        options.rows = [parse_rows(text) for text in (options.rows or rows).split(",")]
    except ValueError:
        parser.error(f"--rows {options.rows}: write it like 250k,1m")
    options.variants = options.variants.split(",") if options.variants else list(variants)
    options.steps = options.steps.split(",") if options.steps else list(steps)
    if unknown := (set(options.variants) - VARIANTS.keys()) | (set(options.steps) - STEPS.keys()):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


def profile(bench: Bench, rows: int, variant: str, stage: str) -> None:
    """Seconds per model of a stage; the stages between core and it are made first."""
    from ptp_pipeline.warehouse.models import STAGES

    bench.measure(rows, variant, [])
    book = bench.folder / f"{variant}-{rows}"
    if stage == "run":
        bench.profile_run(book)
        return
    upstream = STAGES[STAGES.index("matching") : STAGES.index(stage)] if stage in STAGES[STAGES.index("matching") :] else ()
    for earlier in upstream:
        bench._contestant("profile", book, "--stage", earlier)  # noqa: SLF001
    found = bench._contestant("profile", book, "--stage", stage)  # noqa: SLF001
    print(f"\n{variant} {rows:,} {stage}: {found['seconds']:.2f} s, {found['peak_mb']:,.0f} MB")
    for name, seconds in found["models"].items():
        print(f"{seconds:>8.2f} s  {name}")


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 1 when a contestant failed or two do not agree."""
    options = arguments(argv)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="ptp-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Postgres may run as another user and must be able to enter
    bench = Bench(folder.resolve(), options.threads, options.memory_limit, options.repeat)
    try:
        for rows in options.rows:
            for variant in options.variants:
                if options.profile:
                    profile(bench, rows, variant, options.profile)
                else:
                    bench.measure(rows, variant, options.steps)
    except Failed as error:
        say(f"bench: {error}")
        return 1
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
        if options.json:
            figures = {"environment": environment(), "notes": bench.notes, "results": [asdict(r) for r in bench.results]}
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.profile:
        return 0
    print_report(bench.results, bench.notes)
    return 1 if disagreements(bench.results) else 0


if __name__ == "__main__":
    sys.exit(main())
