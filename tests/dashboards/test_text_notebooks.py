"""Notebooks in text are dashboards as others are; scripts, modules and READMEs that lie beside them are none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server
from hypothesis import example, given
from hypothesis import strategies as st
from stage import ASK, KERNEL, SLIDER, WHO, eventually, move, served, staging, visit, write

from jupyter_app_meta.cli import arguments
from jupyter_app_meta.cli.checks import notebooks
from jupyter_app_meta.dashboards import DashboardError, create_app
from jupyter_app_meta.dashboards.files import frontmatter, listing, specs, texts
from jupyter_app_meta.dashboards.files.titles import title
from jupyter_app_meta.errors import BadNotebook

PERCENT = """# ---
# title: Sales of the year
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     name: {kernel}
#     language: python
# ---

# %% [markdown]
# # A heading
# and text

# %%
import os
# %matplotlib inline

# %% tags=["last"]
os.getcwd()
"""

MYST = """---
title: In MyST
kernelspec:
  name: {kernel}
---

# A heading

```{{code-cell}} ipython3
:tags: [first]
1 + 1
```
"""

MARKDOWN = """---
jupyter:
  kernelspec:
    name: {kernel}
---

# A heading

```python
1 + 1
```
"""

STATED = """# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: {}
# ---

# text

x = 1

x
"""


def put(path: Path, text: str | bytes) -> Path:
    """Write a file as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def cells(path: Path) -> list[tuple[str, str]]:
    """Return kind and source of each cell of a text."""
    return [(cell.cell_type, cell.source) for cell in texts.load(path).cells]


# --- which cells a text has -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("percent.py", PERCENT, ["# A heading\nand text", "import os\n%matplotlib inline", "os.getcwd()"]),
        ("late.py", "import os\n\n# %%\nos\n", ["import os", "os"]),
        ("tight.py", "#%%\n1\n#%% second\n2\n", ["1", "2"]),
        ("magics.py", "# %%\n%pwd\n# !rm x\n", ["%pwd\n# !rm x"]),
        ("comments.py", "# %%\n# !ls\n", ["!ls"]),
        ("script.py", "#!/usr/bin/python\n# a text\nx = 1\n\nx\n", ["#!/usr/bin/python\n# a text\nx = 1\n\nx\n"]),
        ("quoted.py", "x = '''\n# %%\n'''\nx\n", ["x = '''\n# %%\n'''\nx\n"]),
        ("crlf.py", "# %%\r\n1\r\n# %%\r\n2\r\n", ["1", "2"]),
        ("bom.py", "\ufeff# %%\n1\n", ["1"]),
        ("light.py", STATED.format("light"), ["text", "x = 1", "x"]),
        ("empty.py", "", [""]),
        ("myst.md", MYST, ["# A heading", "1 + 1"]),
        ("code.md", MARKDOWN, ["# A heading", "1 + 1"]),
        ("hidden.md", f"<!--\n\n{MARKDOWN.partition('# A')[0].strip()}\n\n-->\n\n```python\n1\n```\n", ["1"]),
        ("rule.md", "---\nnot a header\n---\n\n```python\n1\n```\n", ["---\nnot a header\n---", "1"]),
        ("twice.md", f"---\nkernelspec: {{}}\n---\n{MARKDOWN}", [MARKDOWN.partition("```")[0].strip(), "1 + 1"]),
    ],
)
def test_cells_of_a_text(tmp_path: Path, name: str, text: str, found: list[str]) -> None:
    """Percent cells, MyST and Markdown have the cells that jupytext finds; a script without marks is one cell."""
    loaded = [source for _, source in cells(put(tmp_path / name, text.replace("{{", "{").replace("}}", "}")))]
    assert loaded == found


def test_text_cells_and_tags_are_kept(tmp_path: Path) -> None:
    """A cell's kind and its tags are those of the text."""
    notebook = texts.load(put(tmp_path / "a.py", PERCENT))
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code"]
    assert notebook.cells[2].metadata["tags"] == ["last"]
    assert texts.load(put(tmp_path / "a.md", MYST.format(kernel="x"))).cells[1].metadata["tags"] == ["first"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.py", PERCENT.format(kernel="ours"), specs.Named("ours", "python")),
        ("a.md", MYST.format(kernel="ours"), specs.Named("ours", "")),
        ("b.md", MARKDOWN.format(kernel="ours"), specs.Named("ours", "")),
        ("plain.py", "1", specs.Named("", "python")),
        ("marks.py", "# %%\n1", specs.Named("", "python")),
        ("lexer.md", "```{code-cell} ipython3\n1\n```\n", specs.Named("", "python")),
        ("julia.md", "```julia\n1\n```\n", specs.Named("", "julia")),
    ],
)
def test_kernel_of_a_text(tmp_path: Path, name: str, text: str, said: specs.Named) -> None:
    """The header names the kernel; without one the language of the cells decides."""
    assert specs.named(texts.load(put(tmp_path / name, text)).metadata) == said


def test_missing_kernel_of_a_text_is_named(tmp_path: Path) -> None:
    """A text never runs on another kernel than the one that it names."""
    path = put(tmp_path / "a.py", PERCENT.format(kernel="gone"))
    assert "a.py needs the kernel gone, which is not installed here" in str(specs.missing(path, {"x": "python"}, {}))
    assert specs.missing(put(path, PERCENT.format(kernel="x") + "#"), {"x": "python"}, {}) is None


def test_title_of_a_text(tmp_path: Path) -> None:
    """The header's title, the first heading, or the name of the file."""
    assert title(put(tmp_path / "a.py", PERCENT)) == "Sales of the year"
    assert title(put(tmp_path / "b.md", MARKDOWN)) == "A heading"
    assert title(put(tmp_path / "our_script.py", "# # no heading\n1")) == "Our script"
    assert title(put(tmp_path / "not-text.py", b"# %%\n\xff")) == "Not text"


# --- which texts of a directory are notebooks -----------------------------------------------------------------------


def test_directory_lists_texts_that_say_they_are_notebooks(tmp_path: Path) -> None:
    """Modules, READMEs and MyST without a kernel are no notebooks, and one name is one notebook."""
    for name in ("percent.py", "deep/percent.py", "both.py", "_hidden.py", ".hidden.py", "x.ipynb.py", "pair.py"):
        put(tmp_path / name, PERCENT)
    for name, text in {"myst.md": MYST, "code.md": MARKDOWN, "both.md": MYST, "light.py": STATED}.items():
        put(tmp_path / name, text.format("light", kernel="k"))
    put(tmp_path / "helper.py", "def f():\n    '''\n# %%\n    '''\n    # %% not a cell\n")
    put(tmp_path / "README.md", "# Read me\n\n```python\n1\n```\n\n```{code-cell}\n1\n```\n")
    put(tmp_path / "page.md", "---\ntitle: A page\n---\n")
    put(tmp_path / "upper.PY", PERCENT)
    write(tmp_path / "pair.ipynb", "1")
    shown = ["both", "code", "deep/percent", "light", "myst", "pair", "percent"]
    assert listing.names(tmp_path) == shown
    found = {name: listing.find(tmp_path, name) for name in (*shown, "helper", "README", "page", "_hidden", "upper")}
    assert [path and path.name for path in found.values()] == [
        *("both.py", "code.md", "percent.py", "light.py", "myst.md", "pair.ipynb", "percent.py"),
        *[None] * 5,
    ]
    assert list(listing.unshown(tmp_path)) == []


@pytest.mark.parametrize("name", ["percent.py", "percent.md", "percent.ipynb.py", "../percent", "percent.py/"])
def test_text_has_one_name(tmp_path: Path, name: str) -> None:
    """No other name of a text finds it: a rule about its name holds."""
    put(tmp_path / "percent.py", PERCENT)
    assert listing.find(tmp_path, name) is None


def test_links_to_texts_lead_nowhere_else(tmp_path: Path) -> None:
    """A link is followed within the directory, and to a file of the same kind that is not hidden."""
    put(tmp_path.parent / f"{tmp_path.name}-outside.py", PERCENT)
    put(tmp_path / "_secret.py", PERCENT)
    put(tmp_path / "real.py", PERCENT)
    for link, target in {"out.py": f"../{tmp_path.name}-outside.py", "s.py": "_secret.py", "l.py": "real.py"}.items():
        (tmp_path / link).symlink_to(target)
    (tmp_path / "kind.ipynb").symlink_to("real.py")
    assert listing.names(tmp_path) == ["l", "real"]


@given(st.text("'\"# %\n\\a", max_size=40))
@example("'''\n# %%\n'")
def test_marks_are_never_seen_in_strings(text: str) -> None:
    """Where Python reads a script, only its comments at the beginning of a line are marks."""
    import io
    import tokenize

    try:
        tokens = [*tokenize.generate_tokens(io.StringIO(text).readline)]
    except (tokenize.TokenError, SyntaxError):
        return
    if any(token.type == tokenize.ERRORTOKEN for token in tokens):
        return
    marks = [token for token in tokens if token.type == tokenize.COMMENT and token.start[1] == 0]
    assert texts.has_marks(text) == any(re.fullmatch(r"# ?%%(\s.*)?", token.string) for token in marks)


# --- what is refused ------------------------------------------------------------------------------------------------

HEAD = "---\nkernelspec: {name: python3}\n"

BAD: dict[str, tuple[str | bytes, str]] = {
    "big.py": ("# %%\n" + "x = 1\n" * 100_000, "big.py is larger than 512 KiB"),
    "latin.py": ("# %%\n'é'\n".encode("latin-1"), "latin.py is not text in UTF-8"),
    "binary.md": (b"---\nkernelspec: {name: x}\n---\n\x00\xff", "binary.md is not text in UTF-8"),
    "many.py": ("# %%\n" * 3000, "more than 2000 cells"),
    "header.md": ("---\na: [\n---\n", "header.md has a header that cannot be read"),
    "long.md": (HEAD + "a: b\n" * 5000 + "---\n", "must not be longer than 16384 characters"),
    "deep.md": (f"{HEAD}a: {'[' * 500}\n---\n", "must not be nested deeper than 20"),
    "bomb.md": (f"{HEAD}a: &a [1]\nb: [*a, *a]\n---\n", r"must not have an alias \(\*name\)"),
    "bomb.py": ("# ---\n# a: &a [1]\n# b: *a\n# ---\n# %%\n", r"must not have an alias \(\*name\)"),
    "object.md": (f"{HEAD}a: !!python/object/apply:os.system [x]\n---\n", "object.md has a header that cannot be read"),
    "cell.md": (f"{HEAD}---\n```{{code-cell}}\n---\na: &a [1]\nb: *a\n---\n```\n", "the options of a cell must not"),
    "options.md": (f"{HEAD}---\n```{{code-cell}}\n:a: [\n```\n", "options.md cannot be read as a notebook: .*YAML"),
    "marimo.py": (
        STATED.format("marimo"),
        "format 'marimo', and a .py file must be in one of percent",
    ),
    "pandoc.md": (f"{HEAD}jupytext: {{text_representation: {{format_name: pandoc}}}}\n---\n", "md:myst"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_text_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    """What cannot be read as a notebook is a sentence with the file's name, before the server listens."""
    text, said = BAD[name]
    path = put(tmp_path / name, text)
    with pytest.raises(BadNotebook, match=said) as caught:
        create_app().with_app(path="/", root=path).build()
    assert name in str(caught.value) and len(str(caught.value)) < 400


def test_bad_texts_of_a_directory_are_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory is served without them; the log and `check` say which look like notebooks, and what is wrong."""
    for name, (text, _) in BAD.items():
        put(tmp_path / name, text)
    put(tmp_path / "good.py", "# %%\n1")
    told = list(notebooks.problems(str(tmp_path), None, []))
    for name in ("big.py", "latin.py", "binary.md", "marimo.py", "pandoc.md"):
        assert any(sentence.startswith(f"Not served below /: {name} ") for sentence in told), name
        assert listing.find(tmp_path, name.rpartition(".")[0]) is None
    for name in ("many.py", "cell.md", "options.md"):
        assert any(f"/{name.rpartition('.')[0]} cannot be shown: {name} " in sentence for sentence in told), name
    assert not any("good" in sentence for sentence in told)


@given(st.text(max_size=60), st.booleans())
@example("---\n1: 2001-99-99\n---\n", False)
@example("# ---\n# a: 1:1:1\n# ---\n", True)
def test_any_text_has_a_header_or_a_reason(text: str, script: bool) -> None:
    """A text of any form is read, or refused with a ValueError; nothing of the body is lost."""
    try:
        _, body = frontmatter.read(text, script=script)
    except ValueError:
        return
    assert text.endswith(body)


async def test_server_executes_nothing(tmp_path: Path) -> None:
    """To judge, list and load a script leaves it alone: only a kernel executes it."""
    marker = tmp_path / "executed"
    path = put(tmp_path / "a.py", f"# %%\nopen({str(marker)!r}, 'w')\n")
    builder = create_app().with_app(path="/b", root=path).with_dynamic_directory(path="/", directory=tmp_path)
    async with served(builder.with_index(path="/index")) as client:
        assert (await client.get("/index")).status_code == 200
        assert (await client.head("/a")).status_code == 200
    assert listing.names(tmp_path) == ["a"] and "a" not in sys.modules and not marker.exists()


def test_missing_jupytext_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jupytext a notebook in text is refused with what to install; plain scripts and .ipynb files need none."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "jupytext"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "jupytext", None)
    path, script = put(tmp_path / "a.py", PERCENT), put(tmp_path / "plain.py", "1")
    with pytest.raises(DashboardError, match=r"a\.py .* pip install 'jupyter-app-meta\[asgi\]'"):
        create_app().with_app(path="/", root=path).check()
    create_app().with_app(path="/", root=script).with_dynamic_directory(path="/all", directory=tmp_path).check()
    write(tmp_path / "other.ipynb", "1")
    assert listing.names(tmp_path) == ["other"] and title(script) == "Plain"
    assert "jupyter-app-meta[asgi]" in "".join(listing.unshown(tmp_path))


def test_command_line_takes_texts(tmp_path: Path) -> None:
    """``serve`` and ``check`` take a text as they take an .ipynb file, and name the kinds that there are."""
    path = put(tmp_path / "a.py", "# %%\n1")
    assert arguments.place([str(path)]) == path
    assert list(notebooks.problems(str(path), None, [])) == []
    assert "UTF-8" in "".join(notebooks.problems(str(put(tmp_path / "b.py", b"\xff")), None, []))
    with pytest.raises(DashboardError, match=r"\.ipynb, \.py, \.md"):
        arguments.place([str(put(tmp_path / "a.txt", "1"))])
    with pytest.raises(DashboardError, match=r"is not a notebook \(\.ipynb, \.py, \.md\)"):
        create_app().with_app(path="/", root=tmp_path / "a.txt").check()


async def test_sources_of_texts_are_never_served(tmp_path: Path) -> None:
    """Neither a notebook in text nor the script of a page is a file beside it, even if patterns name all of them."""
    for name in ("page.py", "pair.py"):
        put(tmp_path / name, PERCENT.format(kernel="python3"))
    put(tmp_path / "bad.py", b"# %%\n\xff")
    put(tmp_path / "myst.md", MYST.format(kernel="gone"))
    put(tmp_path / "plain.py", "1")
    put(tmp_path / "helper.py", "2")
    put(tmp_path / "README.md", "text")
    write(tmp_path / "pair.ipynb", "1", kernel="python3")
    (tmp_path / "link.py").symlink_to("plain.py")
    builder = (
        create_app(files=["*.py", "*.md"])
        .with_app(path="/alone", root=tmp_path / "link.py")
        .with_dynamic_directory(path="/", directory=tmp_path)
        .with_index(path="/index")
    )
    async with served(builder) as client:
        for name in ("page.py", "pair.py", "bad.py", "myst.md", "plain.py", "link.py", "page.ipynb.py"):
            assert (await client.get(f"/{name}")).status_code == 404, name
        assert (await client.get("/helper.py")).text == "2"
        assert (await client.get("/README.md")).status_code == 200
        assert (await client.head("/helper")).status_code == (await client.head("/README")).status_code == 404
        assert (await client.head("/bad")).status_code == 404
        index = (await client.get("/index")).text
    assert re.findall(r'href="(/[^"]+)"', index) == ["/alone", "/page", "/pair"]
    assert "Sales of the year" in index


# --- pages ----------------------------------------------------------------------------------------------------------

APP = """
app = (create_app(identity_provider=People)
       .with_app(path="/sales/{region}", root="sales.py", authorize=lambda user, request: user.username != "mallory")
       .with_app(path="/script", root="script.py")
       .with_app(path="/breaks", root="breaks.py")
       .with_app(path="/warm", root="warm.py", warm=1)
       .with_dynamic_directory(path="/texts", directory="texts",
                               validate=lambda user, request: request.path_params["name"] != "secret"))
"""


def percent(*sources: str) -> str:
    """Return percent cells for the tests' kernel."""
    head = f"# ---\n# jupyter:\n#   kernelspec:\n#     name: {KERNEL}\n# ---\n"
    return head + "".join(f"\n# %%{source}\n" for source in sources)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of texts in each form."""
    home = tmp_path_factory.mktemp("texts")
    root = home / "root"
    put(root / "helper.py", "VALUE = 'from the helper'\n")
    put(root / "sales.py", percent(" [markdown]\n# # The sales", f"\n{WHO}", f"\n{SLIDER}"))
    script = "import helper\n\nif __name__ == '__main__':\n    print(helper.VALUE)\n\nhelper.VALUE.upper()\n"
    for name in ("script", "breaks"):
        put(root / f"{name}.py", script)
    put(root / "warm.py", percent("\nprint('ahead')", f"\n{WHO}"))
    myst = f"---\nkernelspec:\n  name: {KERNEL}\n---\n\n# In MyST\n\n```{{code-cell}}\n{WHO}\n```\n"
    for name in ("myst", "secret"):
        put(root / "texts" / f"{name}.md", myst)
    put(
        root / "texts" / "fails.py", percent(" [markdown]\n# text", "\n1", f"\n{ASK}raise ValueError('for its author')")
    )
    put(root / "texts" / "helper.py", "print('never')\n")
    with staging(home, APP) as server:
        yield server


def test_percent_page(server: Server) -> None:
    """A page of percent cells knows its visitor and its path, shows text, hides sources, and its callbacks work."""
    opened = visit(server, "alice", "sales/emea", q="1")
    assert "<alice|{'q': '1'}|{'region': 'emea'}|run>" in opened.html
    assert "<h1" in opened.html and "The sales" in opened.html and "app_meta" not in opened.html
    socket = opened.connect()
    assert move(socket, opened, 7).startswith("alice|")
    assert visit(server, "mallory", "sales/emea").response.status_code == 403


def test_script_page(server: Server) -> None:
    """A plain script runs as one cell in its folder, as the main module; its last value is shown."""
    opened = visit(server, "alice", "script")
    assert "from the helper" in opened.html and "FROM THE HELPER" in opened.html


def test_warm_page_and_change_of_its_file(server: Server) -> None:
    """A warm kernel runs a text ahead; when the file changes, the next page shows the new text."""
    assert "ahead" in visit(server, "alice", "warm").html
    root = server.log_file.parent / "root"
    changed = percent("\nprint('changed')", f"\n{WHO}")
    os.replace(put(root / "warm.new", changed), root / "warm.py")
    opened = visit(server, "bob", "warm")
    assert "changed" in opened.html and "<bob|{}|{}|run>" in opened.html


def test_directory_of_texts(server: Server) -> None:
    """MyST is shown under its one name; rules see that name; modules, and what is refused, have no page."""
    assert "<alice|{}|{'name': 'myst'}|run>" in visit(server, "alice", "texts/myst").html
    for name in ("myst.md", "helper", "helper.py", "myst.py"):
        assert visit(server, "alice", f"texts/{name}").response.status_code == 404, name
    for name in ("secret", "secret.ipynb"):
        assert visit(server, "alice", f"texts/{name}").response.status_code == 403, name
    assert "Not served below" not in server.log


def test_error_names_the_file_and_the_cell(server: Server) -> None:
    """The log names the text with its suffix and counts text cells, too; the visitor reads an id."""
    opened = visit(server, "alice", "texts/fails")
    assert "Something went wrong (E-" in opened.html and "for its author" not in opened.html
    eventually(lambda: "fails.py, cell 3, for alice at /texts/fails: ValueError" in server.log)


def test_text_that_breaks_while_it_is_served(server: Server) -> None:
    """A text that becomes unreadable is an error page with an id; the log has a sentence, and no traceback."""
    root = server.log_file.parent / "root"
    put(root / "breaks.py", b"# %%\n\xff")
    opened = visit(server, "alice", "breaks")
    found = re.search(r"E-\w+", opened.html)
    assert opened.response.status_code == 500 and found
    lines = [line for line in server.log.splitlines() if found[0] in line]
    assert any("breaks.py is not text in UTF-8: save it in that encoding." in line for line in lines)
    assert not any("Traceback" in line for line in lines)
