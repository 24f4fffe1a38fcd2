"""What a server looks at before it says that it serves: kernels, names, looks, proxies."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from harness import kernelspec
from jupyter_client.kernelspec import KernelSpecManager
from stage import WHO, serving_folder, staging, visit, write
from traitlets.config import Config

from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.files import listing, specs
from jupyter_app_meta.dashboards.files.machine import Machine
from jupyter_app_meta.dashboards.files.specs import Named
from jupyter_app_meta.dashboards.paths import Route
from jupyter_app_meta.dashboards.setup import checks, managers
from jupyter_app_meta.errors import KernelMissing

INSTALLED = {"python3": "python", "ours": "python", "ir": "r"}


# --- the kernel that a notebook names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "mapping", "kernel"),
    [
        (Named("ours", "python"), {}, "ours"),
        (Named("ours", ""), {"python": "ir"}, "ours"),
        (Named("", "python"), {}, "python3"),
        (Named("", ""), {}, "python3"),
        (Named("", "r"), {}, "ir"),
        (Named("gone", "python"), {"python": "ours"}, "ours"),
        (Named("", "python"), {"python": "ours"}, "ours"),
    ],
)
def test_kernel_of_a_notebook(said: Named, mapping: dict[str, str], kernel: str) -> None:
    """The kernel that the notebook names, else the deployer's for its language, else the default of its language."""
    assert specs.chosen("a.ipynb", said, INSTALLED, mapping) == kernel


@pytest.mark.parametrize(
    ("said", "mapping", "missing"),
    [
        (Named("gone", "python"), {}, "gone"),
        (Named("julia-1.9", "julia"), {}, "julia-1.9"),
        (Named("", "julia"), {}, "for the language julia"),
        (Named("gone", "python"), {"python": "away"}, "gone"),
    ],
)
def test_no_kernel_stands_in_for_a_missing_one(said: Named, mapping: dict[str, str], missing: str) -> None:
    """A notebook of another language or environment is not run on the one that happens to be there."""
    with pytest.raises(KernelMissing, match=f"needs the kernel {missing}, which is not installed here .*ir, ours"):
        specs.chosen("a.ipynb", said, INSTALLED, mapping)


@pytest.mark.parametrize(
    "metadata", [{}, {"kernelspec": None}, {"kernelspec": {"name": 7, "language": []}}, {"language_info": "python"}]
)
def test_odd_metadata_names_no_kernel(metadata: dict[str, Any]) -> None:
    """Metadata of any form is read."""
    assert specs.named(metadata) == Named("", "")


CARD = r'<div class="am-off"><span>%s</span>.*?<b>Not available at the moment</b></div>'


@pytest.mark.unforked("No such file or directory: '/no/such/python'")
def test_notebook_that_cannot_be_shown_is_named_at_the_start_and_has_no_link(tmp_path: Path) -> None:
    """The log says what is wrong with which notebook; the index has its title, and leads to no error."""
    root, wrong = tmp_path / "root", ("other", "dead", "plain", "torn")
    write(root / "good.ipynb", WHO)
    write(root / "other.ipynb", "1", kernel="julia-1.9")
    kernelspec(tmp_path, "dead", executable="/no/such/python")
    write(root / "dead.ipynb", "1", kernel="dead")
    write(root / "plain.ipynb", "1", voila={"template": "gone"})
    (root / "torn.ipynb").write_text('{"cells": [')
    write(root / "login.ipynb", "1")
    with serving_folder(tmp_path, ".") as server:
        for said in (
            "/other cannot be shown: other.ipynb needs the kernel julia-1.9, which is not installed",
            "/dead cannot be shown: dead.ipynb needs the kernel dead, whose program /no/such/python does not exist",
            "/plain cannot be shown: plain.ipynb names the template 'gone', which cannot be used: it is not installed",
            "/torn cannot be shown: torn.ipynb cannot be read as a notebook (JSONDecodeError)",
            "login.ipynb is not served: /login is an address of the server's own. Rename the notebook.",
        ):
            assert said in server.log
        index = server.visitor().get("").text
        assert re.findall('<a href="(/[a-z]+)"><span>', index) == ["/good"]
        assert all(re.search(CARD % name.title(), index, re.DOTALL) for name in wrong)
        assert "julia" not in index and "/no/such" not in index and "as not available" not in server.log
        for name in wrong:
            page = visit(server, None, name)
            assert (page.response.status_code, "julia" in page.html) == (500, False), name
        assert visit(server, None, "good").response.status_code == 200
        assert re.search(r"E-[0-9A-F]{4} \| The template '\S+' is missing: install it, or choose another", server.log)


def test_index_follows_what_is_installed(tmp_path: Path) -> None:
    """A page of its own path that breaks while the server runs is named once; when it works, it has its link again."""
    write(tmp_path / "root" / "page.ipynb", "1", title="The page")
    with staging(tmp_path, "app = create_app().with_index().with_app(path='/page', root='page.ipynb')") as server:
        said = "The index shows page.ipynb as not available: page.ipynb needs the kernel gone, which is not installed"
        http = server.visitor()
        assert '<a href="/page"><span>The page' in http.get("").text and said not in server.log
        write(tmp_path / "root" / "page.ipynb", "1", title="The page", kernel="gone")
        for _ in range(2):
            assert '<div class="am-off"><span>The page' in http.get("").text
        assert server.log.count(said) == 1
        write(tmp_path / "root" / "page.ipynb", "1", title="The page")
        assert '<a href="/page"><span>The page' in http.get("").text


def test_kernel_that_does_not_start_is_named_at_the_start(tmp_path: Path) -> None:
    """A server whose only kernel cannot be started does not say that it serves."""
    write(tmp_path / "root" / "a.ipynb", "1", kernel="broken")
    folder = tmp_path / "data" / "kernels" / "broken"
    folder.mkdir(parents=True)
    spec = {"argv": ["/no/such/python", "-f", "{connection_file}"], "display_name": "Broken", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    with pytest.raises(RuntimeError), serving_folder(tmp_path, "."):
        pass
    log = (tmp_path / "server.log").read_text()
    assert "The kernel broken does not start (FileNotFoundError" in log and "jupyter console --kernel broken" in log
    assert "are served at" not in log and log.count("The kernel broken does not start") == 1
    assert "/a cannot be shown: a.ipynb needs the kernel broken, whose program /no/such/python does not exist" in log


@pytest.mark.parametrize(
    ("spec", "program"),
    [
        ({"argv": ["/no/such/python"]}, "/no/such/python"),
        ({"argv": ["no-such-program", "-f"]}, "no-such-program"),
        ({"argv": ["{resource_dir}/kernel"]}, "{resource_dir}/kernel"),
        ({"argv": ["sh"], "env": {"PATH": "/no/such"}}, "sh"),
        ({"argv": ["sh"], "env": {"PATH": "/no/such:${PATH}"}}, None),
        *(({"argv": argv}, None) for argv in (["python"], ["sh"], ["{resource_dir}/here"], ["bin/kernel"], [], [""])),
        ({"argv": ["ssh-away"], "metadata": {"kernel_provisioner": {"provisioner_name": "ssh"}}}, None),
    ],
)
def test_kernels_without_a_program(tmp_path: Path, spec: dict[str, Any], program: str | None) -> None:
    """A kernel whose program cannot be found is named; if that cannot be known, the kernel is not."""
    folder = tmp_path / "it"
    folder.mkdir()
    (folder / "kernel.json").write_text(json.dumps({"display_name": "It", "language": "x", **spec}))
    (folder / "here").touch(0o755)
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path)], ensure_native_kernel=False)
    wanted = {"it": program.replace("{resource_dir}", str(folder))} if program else {}
    assert specs.absent(manager) == wanted


# --- looks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "given", "hint"),
    [
        ("theme", "drak", "VoilaConfiguration.theme must name an installed theme, not 'drak'; did you mean 'dark'?"),
        ("theme", "solarized", "not 'solarized'; installed are auto, light, dark, JupyterLab Light, JupyterLab Dark."),
        (
            "template",
            "lba",
            "VoilaConfiguration.template must name an installed template, not 'lba'; did you mean 'lab'",
        ),
        ("template", "../lab", "not '../lab'; "),
    ],
)
def test_misspelt_looks_are_refused(tmp_path: Path, option: str, given: str, hint: str) -> None:
    """A theme or template that is not installed is refused when the server is built."""
    notebook = write(tmp_path / "a.ipynb", "1")
    builder = create_app(config={"VoilaConfiguration": {option: given}}).with_app(path="/", root=notebook)
    with pytest.raises(DashboardError) as caught:
        builder.build()
    assert hint in str(caught.value)


BROKEN = {
    "wrong": ("{% block x %}\n{% endblok %}", "index.html.j2, line 2: Encountered unknown tag 'endblok'"),
    "partless": ('{% include "more.j2" ignore missing %}{% extends "gone.j2" %}', "its part gone.j2 cannot be read"),
}
GOOD = """{% extends "voila/templates/lab/index.html.j2" %}
{% block more %}{% if nothing %}{% include "no.j2" %}{% endif %}{% endblock %}"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Install templates that cannot be used, and one that can; what is said of each."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    for name, (text, _) in {**BROKEN, "good": (GOOD, "")}.items():
        folder = tmp_path / "share" / "voila" / "templates" / name
        folder.mkdir(parents=True)
        (folder / "conf.json").write_text('{"base_template": "lab"}')
        (folder / "index.html.j2").write_text(text)
    return {name: said for name, (_, said) in BROKEN.items()}


@pytest.mark.parametrize("template", [*BROKEN, "good"])
async def test_a_broken_template_is_refused(tmp_path: Path, broken: dict[str, str], template: str) -> None:
    """The server is not built; the error names the template, the part and the line."""
    app = create_app(config={"VoilaConfiguration": {"template": template}})
    app = app.with_app(path="/", root=write(tmp_path / "a.ipynb", "1"))
    if template in broken:
        with pytest.raises(DashboardError) as caught:
            app.build()
        assert f"VoilaConfiguration.template {template!r} cannot be used: {broken[template]}" in str(caught.value)
    else:
        app.check()


def test_a_notebook_with_a_broken_template_is_named(tmp_path: Path, broken: dict[str, str]) -> None:
    """What a notebook's metadata name is looked at by name, unless notebooks may not choose."""
    for name in ("gone", "app-meta", "good", *broken):
        path = write(tmp_path / f"{name}.ipynb", "1", kernel="ours")
        told = json.loads(path.read_text())
        told["metadata"]["voila"] = {"template": name}
        path.write_text(json.dumps(told))
    places = [(Route.of("/"), tmp_path)]
    for choice in ("NOTEBOOK", "NO"):
        config = Config({"VoilaConfiguration": {"allow_template_override": choice}})
        machine = Machine(INSTALLED, {}, managers.looks_of(config), config)
        said = list(checks.warnings(places, machine))
        if choice == "NO":
            assert said == []
            continue
        problems = {**broken, "gone": "it is not installed (installed are: "}
        assert len(said) == len(problems)
        for name, problem in problems.items():
            begin = (
                f"/{name} cannot be shown: {name}.ipynb names the template '{name}', which cannot be used: {problem}"
            )
            assert any(sentence.startswith(begin) for sentence in said), (name, said)


def test_a_broken_page_of_the_deployer_is_refused(tmp_path: Path) -> None:
    """A page in ``template_paths`` is read at the start, and not when the first visitor needs it."""
    (tmp_path / "error.html").write_text("{% trans %}Oh{% endtrans %}\n{{ status")
    with pytest.raises(DashboardError, match=r"template_paths: .*error\.html, line 2: unexpected end of template"):
        create_app(template_paths=[tmp_path]).check()


# --- a proxy that names people --------------------------------------------------------------------------------------


def test_header_of_names_needs_its_proxies(tmp_path: Path) -> None:
    """A header that every client could write cannot name visitors."""
    notebook = write(tmp_path / "a.ipynb", "1")
    config = {"AppMetaExtension": {"user_header": "X-Forwarded-User"}}
    with pytest.raises(DashboardError, match=r"user_header names visitors, so it needs .*trusted_proxies"):
        create_app(config=config).with_app(path="/", root=notebook).build()


@pytest.mark.parametrize(("network", "named"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_visitor_whom_the_proxy_does_not_name_is_refused(tmp_path: Path, network: str, named: bool) -> None:
    """Without the header, with two of them, and from elsewhere: no page, no index, no kernel."""
    write(tmp_path / "root" / "who.ipynb", WHO)
    app = f"""
app = create_app(config={{"AppMetaExtension": {{"user_header": "X-Forwarded-User", "trusted_proxies": ["{network}"]}}}})
app = app.with_app(path="/who", root="who.ipynb").with_index()"""
    with staging(tmp_path, app) as server:
        visitor = server.visitor()
        for headers in ({}, {"X-Forwarded-User": ""}, {"X_Forwarded_User": "alice"}):
            for path in ("", "who"):
                answer = visitor.get(path, headers=headers, follow_redirects=False)
                assert (answer.status_code, "kernelId" in answer.text) == (401, False), (path, headers)
        answer = visitor.get("who", headers={"X-Forwarded-User": "alice"})
        assert (answer.status_code == 200, "alice" in answer.text) == (named, named)


# --- a folder's notebooks -------------------------------------------------------------------------------------------


def test_environments_and_packages_are_not_walked(tmp_path: Path) -> None:
    """Notebooks that come with packages are not a folder's own, and a walk through them would take long."""
    for name in (
        *("a", "deep/b", ".venv/c", "env/lib/d", "node_modules/x/e", "lib/site-packages/f", "_drafts/g", "env2/h"),
    ):
        write(tmp_path / f"{name}.ipynb", "1")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    assert listing.names(tmp_path) == ["a", "deep/b", "env2/h"]
    assert listing.names(tmp_path / "env") == ["lib/d"]


async def test_unreadable_notebook_does_not_stop_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is not a notebook is named, and the others are served."""
    (tmp_path / "a.ipynb").write_text("nonsense")
    write(tmp_path / "b.ipynb", "1", kernel="gone")
    with caplog.at_level(logging.WARNING):
        application = create_app().with_dynamic_directory(path="/x", directory=tmp_path).build()
    await application.close()
    said = [line for line in caplog.messages if "cannot be shown" in line]
    assert [line.partition(",")[0] for line in said] == [
        "/x/a cannot be shown: a.ipynb cannot be read as a notebook (JSONDecodeError). Correct the file",
        "/x/b cannot be shown: b.ipynb needs the kernel gone",
    ]
