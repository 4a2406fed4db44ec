"""Another master key for the store, or other data keys for its values."""

from flotilla import Conflict, Model
from secret_store.actor import Actor
from secret_store.backend import Backend
from secret_store.embedded import Embedded
from secret_store.keyring import Keyring
from secret_store.trail import Trail

_STEP = 200
"""Values sealed anew in one transaction, for which others wait."""


class Rewrapped(Model):
    """The store is sealed with this master key now; `values` were sealed anew, if asked for."""

    master_key_id: str
    values: int
    data_keys_destroyed: int


class Rewrapping:
    def __init__(self, keyring: Keyring, backend: Backend, trail: Trail) -> None:
        self._keyring = keyring
        self._backend = backend
        self._trail = trail

    async def rewrap(self, actor: Actor, *, new_master_key: bool, values: bool) -> Rewrapped:
        """Seal the data keys with the configured master key, or with a new one of our file.

        With `values` there is a new data key too, each value is sealed anew under it and the old
        ones are destroyed: what helps where somebody had both the old key and the database. It can
        be given up at any moment and asked for again.
        """
        async with self._trail.act() as transaction:
            master = await self._keyring.rewrap(transaction, new_master=new_master_key)
            await self._trail.add(transaction, actor, "rewrapped")
        self._keyring.settle(master)
        count, destroyed = 0, 0
        if values:
            count, destroyed = await self._reseal()
        return Rewrapped(master_key_id=master.id, values=count, data_keys_destroyed=destroyed)

    async def _reseal(self) -> tuple[int, int]:
        backend = self._backend
        if not isinstance(backend, Embedded):
            raise Conflict("the values are not kept here, so there is nothing of ours to seal anew")
        async with self._trail.act() as transaction:
            key_id = (await self._keyring.current(transaction)).id
            # One that was given up goes on with the key that it had made.
            if not await backend.count_under_others(key_id, transaction):
                key_id = await self._keyring.rotate(transaction)
        count = 0
        while True:
            async with self._trail.act() as transaction:
                done = await backend.reseal(key_id, transaction, _STEP)
                if done == 0:
                    return count, await self._keyring.drop_unused(transaction)
            count += done
