"""How a template is started from a kernelspec, and what it is told to import."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from traitlets.config import Config

from jupyter_app_meta.dashboards.files import imports
from jupyter_app_meta.dashboards.forks import commands as forks_commands
from jupyter_app_meta.dashboards.forks.commands import TEMPLATE, CannotFork, Commands, Unanswered, command
from jupyter_app_meta.dashboards.forks.provisioner import started_otherwise
from jupyter_app_meta.dashboards.runs.kernel import KernelFailed
from jupyter_app_meta.kernel.forks.sockets import commands

ENDS = ["5", "6", "7"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"], [sys.executable, "-m", TEMPLATE, *ENDS]),
        (
            ["/opt/python", "-X", "dev", "-m", "ipykernel_launcher", "--f={connection_file}", "--ext=some"],
            ["/opt/python", "-X", "dev", "-m", TEMPLATE, *ENDS, "--ext=some"],
        ),
    ],
)
def test_the_command_of_a_kernelspec(argv: list[str], expected: list[str]) -> None:
    """The template runs in place of ipykernel's launcher, with its options, and without a connection file."""
    assert command(argv, ENDS) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ["R", "--slave", "-e", "IRkernel::main()"],
        ["python", "-m", "bash_kernel", "-f", "{connection_file}"],
        ["conda", "run", "ipykernel_launcher"],
        ["ipykernel_launcher"],
    ],
)
def test_another_kernel_is_refused(argv: list[str]) -> None:
    """The log says why such a notebook is not forked."""
    with pytest.raises(CannotFork, match="is not started by `python -m ipykernel_launcher`"):
        command(argv, ENDS)


async def test_a_server_without_descriptors_knows_at_once() -> None:
    """The system drops the descriptor of a fork that comes then. Its visitor does not wait for another answer."""
    made = Commands(lambda: None)
    near, far = socket.socketpair()
    asked = asyncio.ensure_future(made.fork(far))
    told, [unused] = await asyncio.to_thread(commands.receive, made._theirs)
    assert told and told["do"] == "fork"
    commands.send(made._theirs, {"said": "forked", "number": told["number"], "pid": 1})
    with pytest.raises(KernelFailed, match="no descriptor left"):
        await asked
    made.close()
    near.close()
    far.close()
    os.close(unused)


async def test_one_that_waited_in_vain_ends_the_wait_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that hangs answers none of them. The one who asked last does not wait for as long as the first."""
    made = Commands(lambda: None)
    near, far = socket.socketpair()
    monkeypatch.setattr(forks_commands, "FORK_PATIENCE", 0.1)
    first = asyncio.ensure_future(made.fork(far))
    await asyncio.sleep(0)
    monkeypatch.setattr(forks_commands, "FORK_PATIENCE", 3600.0)
    last = asyncio.ensure_future(made.fork(far))
    async with asyncio.timeout(60):
        assert [type(error) for error in await asyncio.gather(first, last, return_exceptions=True)] == [Unanswered] * 2
    made.close()
    near.close()
    far.close()


ELSEWHERE = {
    "KernelProvisionerFactory": ({"default_provisioner_name": "docker"}, "the provisioner 'docker' starts its kernels"),
    "MultiKernelManager": (
        {"kernel_manager_class": "jupyter_server.services.kernels.kernelmanager.ServerKernelManager"},
        "",
    ),
    "AsyncMappingKernelManager": (
        {"kernel_manager_class": f"{__name__}.Special"},
        f"{__name__}.Special manages its kernels",
    ),
}


class Special(ServerKernelManager):
    """A deployer's own manager, which may start kernels in any way."""


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_kernels_that_others_start_are_not_forked(kind: str) -> None:
    """Else strangers' code would run on another machine than the deployer chose."""
    options, why = ELSEWHERE[kind]
    kernels = AsyncMappingKernelManager(config=Config({kind: options}))
    assert started_otherwise(kernels, KernelSpec()) == why


class Encrypting(AsyncMappingKernelManager):
    """A manager with an option that older releases do not have."""

    transport_encryption = "required"


def test_encryption_between_server_and_kernel_is_not_left_out() -> None:
    """A fork has none."""
    kernels = Encrypting()  # type: ignore[no-untyped-call]  # jupyter_server's own
    assert started_otherwise(kernels, KernelSpec()).startswith("transport_encryption is 'required'")


def test_a_kernelspec_names_who_starts_it() -> None:
    """Its own provisioner comes before the server's."""
    kernels = AsyncMappingKernelManager()
    assert started_otherwise(kernels, KernelSpec()) == ""
    for name, why in (("local-provisioner", ""), ("slurm", "the provisioner 'slurm' starts its kernels")):
        spec = KernelSpec(metadata={"kernel_provisioner": {"provisioner_name": name}})
        assert started_otherwise(kernels, spec) == why


CODE = """%matplotlib inline
import os, numpy as np
import pandas.io.json as pj , scipy
from plotly import express
from .beside import x
if x:
    import altair  # only now
    from sklearn.linear_model import (
        Ridge,
    )
importlib.import_module("other")
!pip install nothing
"""


def test_modules_that_cells_import() -> None:
    """Whatever else is in the cells, and each once."""
    names = ["os", "numpy", "pandas.io.json", "scipy", "plotly", "altair", "sklearn.linear_model"]
    assert imports.modules([CODE, CODE], [CODE]) == names
    assert imports.modules(["import"], ["", "import ,"]) == []
    assert len(imports.modules([f"import m{n}" for n in range(1000)], [])) == imports.MOST
    assert imports.modules([f"import {'m' * 1000}, n"], []) == ["n"]


@pytest.mark.parametrize("sets", ["os.environ['OMP_NUM_THREADS'] = '1'", "os.putenv('A', 'b')", "environ['A'] = 'b'"])
def test_none_is_named_before_the_environment_is_set(sets: str) -> None:
    """A module may read it when it is imported. What cells set that have run is set."""
    assert imports.modules(["import torch"], [f"{sets}\nimport torch"]) == []
    assert imports.modules([f"{sets}\nimport torch", "import numpy"], ["import numpy"]) == ["torch", "numpy"]


@pytest.mark.parametrize(
    ("ahead", "asking", "expected"),
    [
        (["from uuid import uuid4\nname = uuid4().hex"], "app_meta()", "uuid4"),
        (["import secrets"], "key = secrets.token_hex(8)\nwho = app_meta()", "token_hex"),
        (["import os\nkey = os.urandom (8)"], "%app_meta user", "urandom"),
        (["import random\ncode = ''.join(random.choices('abc', k=9))"], "app_meta()", "random.choices"),
        (["import secrets\npin = secrets.randbelow(10**6)"], "app_meta()", "randbelow"),
        (["import numpy as np\nprices = np.random.default_rng(42).normal(size=9)"], "app_meta()", ""),
        (["import numpy as np\nrng = np.random.default_rng( )"], "app_meta()", "default_rng"),
        (["import random\nrng = random.Random()"], "app_meta()\nrng.random()", "Random"),
        (["import os\nname = f'/tmp/{os.getpid()}.csv'"], "app_meta()", "getpid"),
        (["import random\nrng = random.Random(5)"], "app_meta()", ""),
        (["from uuid import uuid4", "import numpy"], "from jupyter_app_meta import app_meta\nx = uuid4()", "uuid4"),
        (["from secrets import token_hex"], "ballot = visitor.state.setdefault('ballot', token_hex(8))", ""),
        (["import uuid"], "who = app_meta()\nkey = uuid.uuid4()", ""),
        (["import uuid\nuuid.uuid5(uuid.NAMESPACE_DNS, 'a')"], "app_meta()", ""),
    ],
)
def test_what_is_made_up_before_the_question(ahead: list[str], asking: str, expected: str) -> None:
    """Each visitor should have one. What comes after the question is made for each."""
    found = imports.unique([*ahead, asking, "uuid4()"], [asking, "uuid4()"])
    assert found.partition(" who is")[0] == (expected and f"it calls {expected}() before it asks")
