"""What a password must be, and how it is stretched before the ledger sees it. No database here; what is stored is sql/ledger's business."""

import re
import secrets
import unicodedata

from ptp_pipeline.errors import UsageError

MIN_LENGTH = 12
MAX_LENGTH = 128
_LEAST_SCORE = 3  # of zxcvbn's 0 to 4: holds out against 100 million guesses even where nothing slows them down
_LEAST_NAME = 4  # shorter names are in too many words


def normal(password: str) -> str:
    """One form for what looks the same: keyboards differ in how they send an umlaut."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, user_name: str, org: str) -> None:
    """Raises UsageError, in words and without the password, when it is too short, too long, known to attackers or says whose it is."""
    password = normal(password)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.", "A few unrelated words make a good one.")
    names = {
        name.lower() for name in (user_name, org, *re.split(r"[._@+-]", user_name), *re.split(r"[_-]", org)) if len(name) >= _LEAST_NAME
    }
    if any(name in password.lower() for name in names):
        raise UsageError("A password holds neither the user's name nor the org's.", "A few unrelated words make a good one.")
    from zxcvbn import zxcvbn

    found = zxcvbn(password, user_inputs=sorted(names), max_length=MAX_LENGTH)
    if found["score"] < _LEAST_SCORE:
        why = found["feedback"]["warning"] or "It is easy to guess."
        raise UsageError(f"This password will not do. {why.rstrip('.')}.", "A few unrelated words make a good one.")


def new_parameters() -> str:
    """argon2id's costs of today and a fresh salt, as in its usual text form without the hash."""
    return f"{_costs()}${secrets.token_hex(16)}"


def are_current(parameters: str) -> bool:
    """Whether a password was stretched as new ones are."""
    return parameters.rpartition("$")[0] == _costs()


def _costs() -> str:
    from argon2.profiles import RFC_9106_LOW_MEMORY as RECOMMENDED

    return f"argon2id$v={RECOMMENDED.version}$m={RECOMMENDED.memory_cost},t={RECOMMENDED.time_cost},p={RECOMMENDED.parallelism}"


def stretch(password: str, parameters: str) -> str:
    """The password's argon2id result under these parameters."""
    from argon2.low_level import Type, hash_secret_raw

    _, version, costs, salt = parameters.split("$")
    cost = dict(part.split("=") for part in costs.split(","))
    return hash_secret_raw(
        normal(password).encode(),
        bytes.fromhex(salt),
        int(cost["t"]),
        int(cost["m"]),
        int(cost["p"]),
        32,
        Type.ID,
        int(version.removeprefix("v=")),
    ).hex()
