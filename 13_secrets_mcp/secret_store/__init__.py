"""Keep secrets sealed, and let tools and services use them without anybody seeing them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from flotilla import CommonSettings, FlotillaError, Spoke, __version__
from flotilla.fleet import FleetConfig
from flotilla.logs import process_redactor
from secret_store.backend import Backend
from secret_store.database import database_at, place_in, place_of
from secret_store.embedded import Embedded
from secret_store.giving import RELEASED_S, Giving
from secret_store.keeper import Keeper
from secret_store.keyring import Keyring
from secret_store.lease_tools import LeaseTools
from secret_store.leases import Leases
from secret_store.master_key import GivenKey, MasterFile, Passphrase, Source
from secret_store.operations import HubOperations, OwnerOperations
from secret_store.programs import Programs
from secret_store.read_tools import ReadTools
from secret_store.reveal_tools import RevealTools
from secret_store.rewrapping import Rewrapping
from secret_store.run_tools import RunTools
from secret_store.scan_tools import ScanTools
from secret_store.settings import Settings
from secret_store.shielding import shielded
from secret_store.stamps import Clock
from secret_store.trail import Trail
from secret_store.using import Using
from secret_store.vault.settings import VaultSettings
from secret_store.write_tools import WriteTools

INSTRUCTIONS = """\
Secrets that nobody sees: passwords, tokens and keys, sealed, with versions and an audit trail.
You never get a value. To use a secret, look whom it allows (listSecrets, usableBy), lease it for
one tool with leaseSecret, and pass the handle secret://... as the argument of that tool which is
marked as a secret. generateSecret makes one that nobody has seen. Never ask a person to type a
secret into the conversation: he writes it with `python3 -m flotilla secrets write PATH`."""


def check(
    settings: Settings, common: CommonSettings, fleet: FleetConfig, env: Mapping[str, str]
) -> None:
    """Misconfigured where the spoke would not start by what `env` says of a Vault."""
    del settings, common, fleet
    VaultSettings.from_env(env)


def build(
    settings: Settings,
    common: CommonSettings | None = None,
    clock: Clock | None = None,
    vault: VaultSettings | None = None,
) -> Spoke:
    """The spoke; without a database URL its secrets are in one file in the fleet's data folder.

    With a Vault their values are there, and what is known of them is in the database all the same.
    """
    clock = clock or Clock()
    vault = vault or VaultSettings.from_env()
    folder = (common or CommonSettings.from_env()).service_data_dir("secrets")
    if settings.database_url is None:
        place = place_in(folder, settings.database_schema)
    else:
        place = place_of(settings.database_url, settings.database_schema)
    database = database_at(place)
    keyring = Keyring(database, source_of(settings, folder), previous_of(settings), clock)
    trail = Trail(database, keyring, clock)
    kept = settings.versions_kept
    backend: Backend = (
        Embedded(database, keyring, versions_kept=kept, clock=clock)
        if vault.url is None
        else _in_vault(vault, kept, clock)
    )
    keeper = Keeper(database, backend, trail, clock)
    leases = Leases(database, backend, trail, clock, _learn)
    reading = ReadTools(keeper, trail)
    writing = WriteTools(keeper, leases, from_chat=settings.write_from_chat == "on")
    using = Using(database, backend, trail, clock, _learn)
    programs = Programs(
        settings.programs,
        confined=settings.program_confinement == "required",
        closed=folder.parent,
    )
    families = (
        reading,
        ScanTools(backend, trail),
        writing,
        LeaseTools(leases),
        RunTools(using, programs),
        *((RevealTools(using),) if settings.reveal == "on" else ()),
    )
    of_hub = HubOperations(leases, Giving(database, backend, trail, clock, _learn))
    rewrapping = Rewrapping(keyring, backend, trail)
    of_owner = OwnerOperations(keeper, leases, reading, rewrapping, trail)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        with shielded():
            async with database.opened(), backend.opened():
                yield

    async def ready() -> str | None:
        try:
            return await database.ready() or await keyring.ready() or await backend.ready()
        except FlotillaError as error:
            return error.message

    return Spoke(
        name="secrets",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("security.secrets",),
        tools=tuple(tool for family in families for tool in family.tools()),
        operations=(*of_hub.operations(), *of_owner.operations()),
        lifespan=lifespan,
        ready=ready,
        secrets=(*place.secrets, *_given_secrets(settings)),
    )


def source_of(settings: Settings, folder: Path) -> Source:
    """Where the master key is, as the settings say."""
    if settings.passphrase is not None:
        return Passphrase(settings.passphrase, "SECRETS_PASSPHRASE")
    if settings.master_key is not None:
        return GivenKey(settings.master_key, "SECRETS_MASTER_KEY")
    return MasterFile(folder)


def previous_of(settings: Settings) -> tuple[Source, ...]:
    """Where the master key was, until the store is rewrapped."""
    previous: list[Source] = []
    if settings.previous_master_key is not None:
        previous.append(GivenKey(settings.previous_master_key, "SECRETS_PREVIOUS_MASTER_KEY"))
    if settings.previous_passphrase is not None:
        previous.append(Passphrase(settings.previous_passphrase, "SECRETS_PREVIOUS_PASSPHRASE"))
    return tuple(previous)


def _in_vault(vault: VaultSettings, versions_kept: int, clock: Clock) -> Backend:
    # Its HTTP client is 7 MB and a sixth of a second that nobody else needs.
    from secret_store.vault.making import vault_backend

    return vault_backend(vault, versions_kept=versions_kept, clock=clock, learn=_learn)


def _learn(values: Sequence[str]) -> None:
    # The log is set up after the spoke is built.
    process_redactor().learn_for(values, RELEASED_S)


def _given_secrets(settings: Settings) -> tuple[str, ...]:
    given = (
        settings.master_key,
        settings.passphrase,
        settings.previous_master_key,
        settings.previous_passphrase,
    )
    return tuple(secret for secret in given if secret)
