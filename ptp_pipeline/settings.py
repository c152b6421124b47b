"""The one settings class. Every deployment option lives here, is read from the environment and is documented from here.

Business rules are not settings: they are policy, per org, in the ledger.
"""

import os
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent.parent
SQL = CHECKOUT / "sql"
FEEDS = ("invoices", "payments", "commitments", "installments", "contacts")


class Settings(BaseSettings):
    """Where things are and how to reach them. Environment variables are `PTP_` + the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="PTP_", extra="ignore", frozen=True)

    home: Path = Field(CHECKOUT / "data", description="Folder of everything ptp keeps: inbox, archive, published files, embedded Postgres.")
    database_url: SecretStr | None = Field(
        None, description="Postgres >= 15 to use instead of the embedded one; a role that may create roles and schemas."
    )
    token: SecretStr | None = Field(None, description="Bearer token of the person using the command line.")
    duckdb_memory_limit: str = Field(
        "3GB", description="Memory DuckDB may use in a run before it spills to disk; the process takes half a GB more or so."
    )
    duckdb_threads: int = Field(default_factory=lambda: os.cpu_count() or 2, ge=1, description="Threads one run may use.")
    keep_builds: int = Field(10, ge=1, description="Published builds kept per org; older ones are removed.")
    table_file_rows: int = Field(250_000, ge=0, description="Longest published table that also gets a Parquet and a CSV file of its own.")
    increment_percent: int = Field(
        5, ge=0, le=100, description="Largest share of an org's customers, in percent, whose rows alone a run replaces; 0: always all rows."
    )
    max_file_mb: int = Field(2048, ge=1, description="Largest CSV accepted, in MiB; a larger one is rejected with a reason.")
    files_per_tick: int = Field(200, ge=1, description="Most files the inbox sensor looks at per org and tick.")
    settle_seconds: int = Field(5, ge=0, description="A dropped file must be unchanged this long before it is read.")
    mail_from: str = Field("ptp <ptp@localhost>", description="From address of outgoing mail.")
    resend_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RESEND_API_KEY", "resend_api_key"),
        description="Resend key; without it mail is written to the outbox folder as .eml files.",
    )
    resend_url: str = Field("https://api.resend.com", description="Base address of the Resend API.")
    mail_timeout_seconds: float = Field(10.0, gt=0, description="How long one send may take before it counts as failed.")
    port: int = Field(3000, ge=1, le=65535, description="Port of the Dagster UI on 127.0.0.1.")

    @cached_property
    def secrets_dir(self) -> Path:
        """Generated database passwords, readable by the owner only."""
        return self.home / "secrets"

    @property
    def postgres_dir(self) -> Path:
        return self.home / "postgres"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    def inbox(self, org: str, feed: str | None = None) -> Path:
        path = self.home / "inbox" / org
        return path / feed if feed else path

    def rejected(self, org: str) -> Path:
        return self.home / "rejected" / org

    def warehouse(self, org: str) -> Path:
        return self.home / "warehouse" / org

    def published(self, org: str) -> Path:
        return self.home / "published" / org

    def current_build(self, org: str) -> Path:
        """The newest published build; may not exist yet."""
        return self.published(org) / "current"
