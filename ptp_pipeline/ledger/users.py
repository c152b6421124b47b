"""People: their roles, passwords and tokens, and how they sign in.

Credentials are checked inside the database, by functions the app role can only call: signing in yields a proof that the
approval gate asks for, so knowing the app's database password is not being a supervisor. Passwords are stretched with
argon2id here; the database stores and compares the sha256 of the result and never shows it.
"""

import datetime as dt
import hashlib
import re
import secrets
from dataclasses import dataclass, field

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction

ROLES = ("collector", "supervisor", "controller", "legal", "analyst", "admin")
MIN_PASSWORD = 10


@dataclass(frozen=True)
class SignedIn(Actor):
    """A person whose credential the database has checked. The proof is good for 12 hours at most and is never shown."""

    proof: str = field(repr=False, compare=False)


@dataclass(frozen=True)
class User:
    """A person of an org."""

    user_name: str
    role: str
    email: str
    is_active: bool
    added_by: str
    added_at: dt.datetime


def proof(tx: Transaction) -> str | None:
    """The proof of the transaction's actor; None when nobody has signed in."""
    return tx.actor.proof or None


def add_user(tx: Transaction, name: str, role: str, password: str, email: str = "") -> None:
    """Add a person. Needs the operator (`ledger.operator`) or an admin who signed in."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@+-]{0,127}", name) or name in ("policy", "pipeline", "operator", "mailer", "unknown"):
        raise UsageError(f"{name!r} cannot be a user name.", "Use lower-case letters, digits and . _ @ + -.")
    if role not in ROLES:
        raise UsageError(f"There is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
    parameters, stretched = _new_password(password)
    tx.execute("select ptp.add_user(%s, %s, %s, %s, %s, %s)", [proof(tx), name, role, email, parameters, _sha256(stretched)])


def set_password(tx: Transaction, name: str, password: str) -> None:
    """Give a person a new password. Needs the operator, or the person signed in."""
    parameters, stretched = _new_password(password)
    tx.execute("select ptp.set_password(%s, %s, %s, %s)", [proof(tx), name, parameters, _sha256(stretched)])


def deactivate(tx: Transaction, name: str, reason: str) -> None:
    """Take effect at once: tokens, codes and open sign-ins of the person stop working."""
    tx.execute("select ptp.set_active(%s, %s, false, %s)", [proof(tx), name, reason])


def issue_token(tx: Transaction, name: str, days: int = 90) -> str:
    """A bearer token for a person, shown this once. Needs the operator, or the person signed in."""
    if not 1 <= days <= 3650:  # noqa: PLR2004 - ten years
        raise UsageError(f"A token cannot be good for {days} days.", "Use 1 to 3650.")
    token_id = secrets.token_hex(6)
    token = f"ptp_{token_id}_{secrets.token_hex(24)}"
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    tx.execute("select ptp.add_token(%s, %s, %s, %s, %s)", [proof(tx), name, token_id, _sha256(token), until])
    return token


def authenticate_token(ledger: Ledger, org: str, token: str, origin: str) -> SignedIn:
    """The person a token belongs to. Raises Refused, without saying why, when it is not good in this org."""
    nobody = Actor(name="unknown", role="none", auth="token", origin=origin)
    with ledger.door(org, nobody) as tx:
        row = tx.one("select * from ptp.sign_in_with_token(%s)", [token])
    if row is None:
        raise Refused("This token is not valid here.", "Check --org, or get a new one: ptp user token USER --org ORG.")
    return SignedIn(row["user_name"], row["role"], "token", origin, row["proof"])


def check_password(ledger: Ledger, org: str, name: str, password: str, origin: str) -> SignedIn:
    """The person, if the password is right. An unknown name takes as long and reads the same as a wrong password."""
    nobody = Actor(name="unknown", role="none", auth="password", origin=origin)
    with ledger.door(org, nobody) as tx:
        asked = tx.one("select ptp.password_parameters(%s) as parameters", [name]) or {}
        stretched = _stretch(password, asked["parameters"] or _new_parameters())
        row = tx.one("select * from ptp.sign_in_with_password(%s, %s)", [name, stretched])
    if row is None:
        raise Refused("User name or password is wrong.")
    return SignedIn(row["user_name"], row["role"], "password", origin, row["proof"])


def list_users(tx: Transaction) -> list[User]:
    """Everybody of the org, by name."""
    rows = tx.all(
        "select user_name, role, email, is_active, added_by, added_at from ptp.app_user where org_id = ptp.current_org() order by user_name"
    )
    return [User(**row) for row in rows]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _new_password(password: str) -> tuple[str, str]:
    if len(password) < MIN_PASSWORD:
        raise UsageError(f"A password needs at least {MIN_PASSWORD} characters.")
    parameters = _new_parameters()
    return parameters, _stretch(password, parameters)


def _new_parameters() -> str:
    """argon2id's parameters and a fresh salt, as in its usual text form without the hash."""
    from argon2.profiles import RFC_9106_LOW_MEMORY as RECOMMENDED

    costs = f"m={RECOMMENDED.memory_cost},t={RECOMMENDED.time_cost},p={RECOMMENDED.parallelism}"
    return f"argon2id$v={RECOMMENDED.version}${costs}${secrets.token_hex(16)}"


def _stretch(password: str, parameters: str) -> str:
    from argon2.low_level import Type, hash_secret_raw

    _, version, costs, salt = parameters.split("$")
    cost = dict(part.split("=") for part in costs.split(","))
    return hash_secret_raw(
        password.encode(), bytes.fromhex(salt), int(cost["t"]), int(cost["m"]), int(cost["p"]), 32, Type.ID, int(version.removeprefix("v="))
    ).hex()
