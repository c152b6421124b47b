"""The decisions of sensors and schedules as pure functions: given what was read, which runs are wanted. No I/O, no clock."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# path → (size in bytes, change time in ns: a copy that keeps the old modification time is still new)
Listing = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class WantedRun:
    """One run of one org. The key makes asking twice for the same thing one run."""

    org: str
    key: str
    reason: str


# Minutes to wait after the n-th failure before the same thing is asked for again; after the last, people must act.
RETRY_AFTER_MINUTES = (1, 5, 15, 60, 240)


def attempt_key(key: str, failed_at: Sequence[datetime], now: datetime) -> str | None:
    """The run key to ask with: the key itself first, a numbered one after failures, None while it is too early or no use.

    Dagster starts nothing twice for one key, so without a number a file whose first run failed would lie there for ever.
    """
    if not failed_at:
        return key
    if len(failed_at) > len(RETRY_AFTER_MINUTES) or now < max(failed_at) + timedelta(minutes=RETRY_AFTER_MINUTES[len(failed_at) - 1]):
        return None
    return f"{key}:{len(failed_at) + 1}"


def stable_files(now: Listing, before: Listing) -> list[str]:
    """Files whose size and time did not change since the last look: nobody is still writing them."""
    return sorted(path for path, facts in now.items() if before.get(path) == facts)


def inbox_runs(now: Mapping[str, Listing | None], before: Mapping[str, Listing]) -> tuple[list[WantedRun], dict[str, Listing]]:
    """Runs wanted for stable files per org, and what to remember.

    None means the org's inbox could not be read: that is not an empty inbox, so what was known is kept.
    """
    wanted, remember = [], {}
    for org, listing in sorted(now.items()):
        known = before.get(org, {})
        if listing is None:
            remember[org] = known
            continue
        remember[org] = listing
        if ready := stable_files(listing, known):
            digest = hashlib.sha256(json.dumps([(path, listing[path]) for path in ready]).encode()).hexdigest()[:16]
            wanted.append(WantedRun(org, f"inbox:{org}:{digest}", f"{len(ready)} files in the inbox"))
    return wanted, remember


def ledger_runs(positions: Mapping[str, int], built: Mapping[str, int | None]) -> list[WantedRun]:
    """Runs wanted because people decided something that the newest build does not know."""
    return [
        WantedRun(org, f"ledger:{org}:{position}", f"ledger moved from {built.get(org)} to {position}")
        for org, position in sorted(positions.items())
        if position != (built.get(org) or 0)
    ]


def due_today(now: datetime, zones: Mapping[str, str], at: time) -> list[tuple[str, date]]:
    """(org, its local date) for which `at` has passed today in the org's time zone.

    Missed ticks are caught up by the next one, because the question is what is due, not what the tick is.
    """
    local = {org: now.astimezone(ZoneInfo(zone)) for org, zone in zones.items()}
    return [(org, t.date()) for org, t in sorted(local.items()) if t.time() >= at]
