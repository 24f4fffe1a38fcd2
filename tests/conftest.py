"""For every test: a clean Jupyter environment, no silent skips, and the other Python where there is one."""

from __future__ import annotations

import compileall
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROJECT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "run",
    "IPYTHONDIR": "ipython",
}
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Voila's pages name a CDN: the same for everybody. One name leads here that browsers do not trust without TLS.
    "--host-resolver-rules=MAP plain.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
FOREIGN = ("JUPYTER_", "JUPYTERHUB_", "JPY_", "KERNEL_")
SLOW = ("rfc3987_syntax", "isoduration", "rfc3986_validator")
"""Hidden from each server of the tests: jsonschema works without them. The first takes as long as jupyter_server."""

LOG_SHOWN = 4000
"""How many characters of a server's log a failure has."""

AGAIN = 30
"""Seconds after which a test that goes on after its time limit is interrupted again."""

DEBUGGER = "debugpy"
"""Hidden from the kernels of the tests' servers, for which importing it is a quarter of their start."""

with suppress(ModuleNotFoundError):  # the wheel's environment has none, and no properties to test
    import hypothesis

    hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is not a fault of ours
    hypothesis.settings.load_profile("untimed")

LIMIT = pytest.StashKey[object]()
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's own Jupyter settings, servers and kernels out of the tests; compile the package once."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="app-meta-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ.update({variable: str(Path(home, folder)) for variable, folder in FOLDERS.items()})
    os.environ["PYTHONNOUSERSITE"] = "1"
    _hide(SLOW, Path(home, "absent"))
    sys.path.insert(0, str(Path(home, "absent")))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH")]))
    _hide((DEBUGGER,), Path(home, "undebugged"))
    os.environ["APP_META_UNDEBUGGED"] = str(Path(home, "undebugged"))  # tests/journey/harness.py looks here
    if not hasattr(config, "workerinput"):
        _compile("jupyter_app_meta")
    if os.environ.get("APP_META_TESTS_FORK"):
        config.pluginmanager.import_plugin("forked_or_not")


def _hide(modules: tuple[str, ...], folder: Path) -> None:
    """Make modules unimportable where this folder comes first on the path."""
    folder.mkdir()
    for module in modules:
        (folder / f"{module}.py").write_text(f"raise ImportError('{module} is hidden')\n")


def _compile(package: str) -> None:
    """Keep a package's bytecode: hundreds of servers and kernels, which write none themselves, need not make it."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        compileall.compile_dir(folder, quiet=2)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> Generator[None, bool, bool]:
    """Keep a test's time limit for its clean-up, and interrupt again: asyncio swallows what is raised in a callback."""
    item.stash[LIMIT] = settings
    result = yield
    if seconds := signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Give the clean-up a time limit of its own.

    pytest-timeout ends its timer at the first failure. The clean-up of a failed test would hold up the whole run if it
    hangs, as a browser's can whose loop was interrupted.
    """
    if LIMIT in item.stash:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=item.stash[LIMIT])
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In CI, print a failure when it happens: a run that is ended from outside prints no summary."""
    if report.failed and os.environ.get("CI") == "true" and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}", file=sys.__stderr__, flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure where CI is true; add to a failure the end of its servers' logs."""
    report = refuse_skip((yield))
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(log := getattr(value, "log", None), str):
                report.sections.append((f"End of the log of {name}", log[-LOG_SHOWN:]))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failure where CI is true."""
    return refuse_skip((yield))


def refuse_skip(report: Report) -> Report:
    """Return the report, failed if it was a skip that CI must not let pass; an expected failure is none."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI skips nothing, but this wanted to be: {reason}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with browsers, and leave out the tests that need a Python 3.13 where there is none; the header says so."""
    slow = {item.path for item in items if "browser" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in slow)  # one worker is not to end long after the other
    if find_python313() is None:
        left_out = [item for item in items if item.get_closest_marker("py313")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header() -> str:
    """Say which other Python takes part."""
    return f"Python 3.13 for foreign kernels: {find_python313() or 'none, so tests marked py313 are left out'}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless chromium that reaches nothing but this machine."""
    from playwright.sync_api import expect, sync_playwright  # the kernel half's tests run without it

    chromium = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    assert chromium, "chromium is not installed: run 'make test', which installs it"
    expect.set_options(timeout=60_000)  # the default of five seconds is too short for a busy machine
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def unpatched() -> Iterator[None]:
    """Take back what notebook_shim changes in jupyter_server when tests read a configuration in this process."""
    from jupyter_server.extension.manager import ExtensionManager

    kept = ExtensionManager.__dict__["sorted_extensions"]
    yield
    ExtensionManager.sorted_extensions = kept  # type: ignore[method-assign]


@cache
def find_python313() -> str | None:
    """Return a Python 3.13 in which the kernel half can run."""
    candidates = (sys.executable, str(PROJECT / ".venv-3.13/bin/python"), os.environ.get("PY313", ""))
    return next((path for path in candidates if path and _runs_kernel_half(path)), None)


def _runs_kernel_half(path: str) -> bool:
    needed = (
        "import sys; from importlib.util import find_spec\n"
        "sys.exit(sys.version_info[:2] != (3, 13) or not (find_spec('ipykernel') and find_spec('starlette')))"
    )
    try:
        return subprocess.run([path, "-c", needed], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="session")
def python313() -> str:
    """A Python 3.13 in which the kernel half can run, for tests marked ``py313``."""
    path = find_python313()
    assert path is not None, "mark the test with @pytest.mark.py313"
    return path
