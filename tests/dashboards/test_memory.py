"""How much memory is free, read from the files of a system; and what a server does when little is."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Server
from stage import eventually, staging, visit, write

from jupyter_app_meta.dashboards.load import memory

MB = 2**20

APP = """
from pathlib import Path
from jupyter_app_meta.dashboards.load import memory, occupancy
memory.is_short = lambda short=memory.is_short: short(Path({system!r}))
occupancy.FEWEST_PAGES = {fewest}
app = create_app({options}).with_app(path="/page", root="page.ipynb")
"""


def system(home: Path, *, size: int = 8000, available: int, group: str = "0::/") -> Path:
    """Write the files of a machine, with its memory in MB and the line of this process's control group."""
    (home / "proc/self").mkdir(parents=True)
    text = f"MemTotal: {size * 1024} kB\nMemFree: 1 kB\nMemAvailable: {available * 1024} kB\nHugePages_Total: 0\n"
    (home / "proc/meminfo").write_text(text)
    (home / "proc/self/cgroup").write_text(f"9:name=systemd:/\n1:cpu:/elsewhere\n{group}\n")
    return home


def new_group(home: Path, path: str, *, limit: str, used: int, cache: int = 0) -> None:
    """Write a control group of the second version."""
    folder = home / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used * MB}\n")
    (folder / "memory.stat").write_text(
        f"anon {used * MB}\ninactive_file {cache * MB // 2}\nactive_file {cache * MB // 2}\n"
    )


def old_group(home: Path, path: str, *, limit: int, used: int, cache: int = 0) -> None:
    """Write a control group of the first version."""
    folder = home / "sys/fs/cgroup/memory" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used * MB}\n")
    (folder / "memory.stat").write_text(f"cache 0\ntotal_inactive_file 0\ntotal_active_file {cache * MB}\n")


@pytest.mark.parametrize(
    ("size", "available", "short"),
    [(64_000, 513, False), (64_000, 511, True), (1000, 101, False), (1000, 99, True)],
    ids=["large and free", "large and full", "small and free", "small and full"],
)
def test_machine(tmp_path: Path, size: int, available: int, short: bool) -> None:
    """A tenth of a small machine stays free, and 512 MiB of a large one."""
    assert memory.is_short(system(tmp_path, size=size, available=available)) is short


@pytest.mark.parametrize(
    ("limit", "used", "cache", "short"),
    [(str(1000 * MB), 950, 0, True), (str(1000 * MB), 950, 200, False), ("max", 7999, 0, False), ("?", 1, 0, False)],
    ids=["full", "full of cache", "no limit", "unreadable"],
)
def test_container(tmp_path: Path, limit: str, used: int, cache: int, short: bool) -> None:
    """A container is full although its machine is not; cached files do not fill it."""
    home = system(tmp_path, available=8000)
    new_group(home, "", limit=limit, used=used, cache=cache)
    assert memory.is_short(home) is short


def test_service(tmp_path: Path) -> None:
    """A limit holds for the groups within the one that has it, and no limit of another group counts."""
    home = system(tmp_path, available=8000, group="0::/system.slice/dashboards.service")
    new_group(home, "system.slice/dashboards.service", limit="max", used=10)
    new_group(home, "system.slice/other.service", limit=str(MB), used=1)
    assert not memory.is_short(home)
    new_group(home, "system.slice", limit=str(100 * MB), used=99)
    assert memory.is_short(home)


def test_first_version_of_groups(tmp_path: Path) -> None:
    """Its files have other names; its largest number is not a limit; a path outside the container is passed."""
    home = system(tmp_path, available=8000, group="4:memory:/docker/0123456789")
    old_group(home, "", limit=2**63 - 4096, used=7000)
    assert not memory.is_short(home)
    old_group(home, "", limit=100 * MB, used=99)
    assert memory.is_short(home)
    old_group(home, "", limit=100 * MB, used=99, cache=50)
    assert not memory.is_short(home)


def test_a_path_does_not_lead_outside(tmp_path: Path) -> None:
    """Of a group that lies beside what a container sees, only the container's own tree is read."""
    home = system(tmp_path, available=8000, group="0::/../../../elsewhere")
    new_group(home, "../../elsewhere", limit=str(MB), used=1)
    assert not memory.is_short(home)


def test_unknown_system(tmp_path: Path) -> None:
    """Where there are no such files, no floor holds."""
    assert not memory.is_short(tmp_path)


def app(home: Path, fewest: int, **options: object) -> str:
    """Return a server whose memory is always short, and which refuses pages once ``fewest`` are open."""
    write(home / "root" / "page.ipynb", "print('page')")
    given = ", ".join(f"{name}={value}" for name, value in options.items())
    return APP.format(system=str(system(home / "system", available=8)), fewest=fewest, options=given)


def status(server: Server) -> tuple[int, str | None]:
    """Return the status of one more visit and when its visitor may try again."""
    response = visit(server, "bob", "page").response
    return response.status_code, response.headers.get("Retry-After")


@pytest.mark.unforked("little memory is free")
def test_server_refuses_pages_while_memory_is_short(tmp_path: Path) -> None:
    """The second visitor is told to try again, once the first page is there; after it has ended there is room."""
    with staging(tmp_path, app(tmp_path, 1)) as server:
        first = visit(server, "alice", "page")
        assert first.response.status_code == 200
        assert [status(server) for _ in range(2)] == [(503, "10")] * 2
        assert server.log.count("little memory is free and 1 pages are open") == 1
        first.close()
        eventually(lambda: status(server) == (200, None))


@pytest.mark.unforked("little memory is free")
def test_no_limit_means_no_floor(tmp_path: Path) -> None:
    """A deployer who wants no limit of pages gets none."""
    with staging(tmp_path, app(tmp_path, 0, max_pages=0)) as server:
        assert visit(server, "alice", "page").response.status_code == 200
