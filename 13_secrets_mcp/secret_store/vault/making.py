"""The backend in Vault, put together."""

from secret_store.backend import Learn
from secret_store.stamps import Clock
from secret_store.vault.kv import Kv
from secret_store.vault.logins import login_of
from secret_store.vault.settings import VaultSettings
from secret_store.vault.speaking import Speaker
from secret_store.vault.store import Vault
from secret_store.vault.tickets import Tickets


def vault_backend(
    settings: VaultSettings, *, versions_kept: int, clock: Clock, learn: Learn
) -> Vault:
    """The backend that the settings describe; Misconfigured for those that cannot work."""
    speaker = Speaker(settings)
    tickets = Tickets(speaker, login_of(settings, learn), learn=learn)
    kv = Kv(speaker, tickets, mount=settings.mount, folder=settings.folder, clock=clock)
    return Vault(
        speaker, tickets, kv, versions_kept=versions_kept, write_s=2.5 * settings.timeout_s
    )
