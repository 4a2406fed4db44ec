"""What an administrator does at the simulated vCenter by other means than the spoke."""

import ssl
from typing import Any

from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter

from tests.backends.vcsim_server import PASSWORD, USER, Vcsim


class Admin:
    """A session of its own; its calls block, the simulator is another process."""

    def __init__(self, vcenter: Vcsim) -> None:
        context = ssl.create_default_context(cafile=vcenter.trusted)
        self.stub: Any = SoapStubAdapter(
            host=vcenter.host,
            port=vcenter.port,
            version="vim.version.version11",
            sslContext=context,
        )
        self.content: Any = vim.ServiceInstance("ServiceInstance", self.stub).RetrieveContent()
        self.session: str = self.content.sessionManager.Login(USER, PASSWORD).key

    def machine(self, vm_id: str) -> Any:
        return vim.VirtualMachine(vm_id, self.stub)

    def set_extra(self, vm_id: str, **values: str) -> None:
        options = [
            vim.option.OptionValue(key=key.replace("_", "."), value=value)
            for key, value in values.items()
        ]
        self._reconfigured(vm_id, vim.vm.ConfigSpec(extraConfig=options))
        has = {each.key: each.value for each in self.machine(vm_id).config.extraConfig}
        assert has.items() >= {each.key: each.value for each in options}.items()

    def rename(self, vm_id: str, name: str) -> None:
        self._reconfigured(vm_id, vim.vm.ConfigSpec(name=name))

    def _reconfigured(self, vm_id: str, spec: Any) -> None:
        # The simulator has done it when it answers.
        task: Any = self.machine(vm_id).ReconfigVM_Task(spec=spec)
        assert task.info.state == "success", task.info.error

    def sessions(self) -> list[str]:
        """The keys of all sessions but this one."""
        keys = [each.key for each in self.content.sessionManager.sessionList]
        return [key for key in keys if key != self.session]

    def end_sessions(self) -> int:
        """End the sessions of everybody else; how many there were."""
        keys = self.sessions()
        if keys:
            self.content.sessionManager.TerminateSession(keys)
        return len(keys)

    def close(self) -> None:
        self.content.sessionManager.Logout()
        self.stub.DropConnections()
