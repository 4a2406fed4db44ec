"""The database of the items: the fleet's way with a database, with this spoke's own tables."""

from cmdb import migrations, seeding
from flotilla.database.database import Database
from flotilla.database.place import Place


class Store(Database):
    """Opens nothing before `opened`; answers Unavailable while the database is away.

    `connect_timeout_s` bounds a new connection, `lock_timeout_s` the wait for other processes.
    """

    def __init__(
        self, place: Place, *, pool_size: int, connect_timeout_s: float, lock_timeout_s: float
    ) -> None:
        super().__init__(
            place,
            service="cmdb",
            called="the CMDB's database",
            versions=migrations.VERSIONS,
            seed=seeding.seed,
            pool_size=pool_size,
            connect_timeout_s=connect_timeout_s,
            lock_timeout_s=lock_timeout_s,
        )
