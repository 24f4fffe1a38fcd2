from __future__ import annotations

import ast
import atexit
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from alice import ALICE
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from people import AWARE, Kernel, running
from traitlets.config import Config

from jupyter_app_meta import (
    AppMeta,
    Cookies,
    HTTPRequest,
    QueryParams,
    UnknownField,
    User,
    app_meta,
)
from jupyter_app_meta.kernel import faking, magic
from jupyter_app_meta.kernel.context import bound
from jupyter_app_meta.model import Names
from jupyter_app_meta.policy import Policy, RawRequest

Output = dict[str, Any]
Run = Callable[..., list[Output]]
Complete = Callable[..., list[str]]


# A shell in this process, and a kernel whose messages are stamped


@pytest.fixture(name="alice")
def the_alice() -> AppMeta:
    """What a server says of Alice."""
    return ALICE


@pytest.fixture
def shell() -> Iterator[Any]:
    """The shell that ``get_ipython()`` answers, with the extension loaded."""
    hook, main = sys.displayhook, sys.modules["__main__"]
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    shell: Any = InteractiveShell.instance(config=config)  # typed in part only
    shell.run_line_magic("load_ext", "jupyter_app_meta")
    yield shell
    shell.run_line_magic("unload_ext", "jupyter_app_meta")
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()
    sys.displayhook, sys.modules["__main__"] = hook, main


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A request-aware kernel."""
    with running(tmp_path_factory.mktemp("aware"), AWARE) as kernel:
        yield kernel


@pytest.fixture
def run(kernel: Kernel) -> Run:
    """Run a cell with or without a visitor, and return its outputs; the reply's status comes last."""

    def run(code: str, visitor: AppMeta | None = None) -> list[Output]:
        outputs: list[Output] = []
        kernel.session.visitor = visitor
        reply = kernel.client.execute_interactive(code, timeout=60, allow_stdin=False, output_hook=outputs.append)
        return [*(item for item in map(_output, outputs) if item), {"type": "reply", **reply["content"]}]

    return run


def _output(message: Output) -> Output | None:
    types = ("stream", "display_data", "execute_result", "error")
    return {"type": message["msg_type"], **message["content"]} if message["msg_type"] in types else None


@pytest.fixture
def completions(kernel: Kernel) -> Callable[..., list[str]]:
    """Complete the code at its end for a visitor, and return what an editor would make of it."""

    def complete(code: str, visitor: AppMeta | None = None) -> list[str]:
        kernel.session.visitor = visitor
        content = kernel.client.complete(code, reply=True, timeout=60)["content"]
        return [code[: content["cursor_start"]] + match for match in content["matches"]]

    return complete


def ask(shell: Any, line: str, meta: AppMeta) -> Any:
    """Return what ``%app_meta`` gives for this request."""
    with bound(meta):
        return shell.run_line_magic("app_meta", line)


def refusal(shell: Any, line: str, meta: AppMeta) -> str:
    """Return the one line that is said in place of a value."""
    with pytest.raises(UnknownField) as caught:
        ask(shell, line, meta)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(base: AppMeta, **changes: Any) -> AppMeta:
    """Return the same with other fields of the request."""
    assert base.request is not None
    return replace(base, request=replace(base.request, **changes))


def of_type(outputs: list[Output], kind: str) -> list[Output]:
    """Return the outputs of one type."""
    return [output for output in outputs if output["type"] == kind]


def printed(outputs: list[Output]) -> str:
    """Return what a cell printed, after making sure that it ran to its end."""
    assert outputs[-1]["status"] == "ok", outputs
    return "".join(output["text"] for output in of_type(outputs, "stream")).strip()


def displayed(outputs: list[Output]) -> list[str]:
    """Return the plain form of what a cell displayed."""
    return [output["data"]["text/plain"] for output in of_type(outputs, "execute_result")]


# The line magic


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("user.username", "alice"),
        ("user username", "alice"),
        ("request.user.username", "alice"),
        ("user.groups", ("editors", "finance")),
        ("headers accept-language", "SECRET-HEADER"),
        ("headers Accept-Language", "SECRET-HEADER"),
        ("headers.accept-language", "SECRET-HEADER"),
        ("cookies theme", "SECRET-COOKIE"),
        ("query region", "SECRET-QUERY"),
        ("query.region", "SECRET-QUERY"),
        ("query_params.region", "SECRET-QUERY"),
        ("url.path", "/user/alice/lab/tree/sales.ipynb"),
        ("url hostname", "hub"),
        ("session.client_id", "tab-1"),
        ("session path", "sales.ipynb"),
        ("mode", "edit"),
    ],
)
def test_path_gives_the_one_value(shell: Any, alice: AppMeta, line: str, expected: object) -> None:
    """A value is given when it is asked for by its name, with dots or with spaces."""
    assert ask(shell, line, alice) == expected


@pytest.mark.parametrize("name", [item.name for item in fields(HTTPRequest) if item.name != "client"])
def test_every_field_of_a_request_can_be_asked_for(shell: Any, alice: AppMeta, name: str) -> None:
    """No field is forgotten: each is a path, and gives what the attribute has."""
    assert ask(shell, name, alice) == getattr(alice.request, name)


def test_names_with_dots_and_nested_fields(shell: Any, alice: AppMeta) -> None:
    """A dot may belong to a name or lead into a mapping; the longest name wins."""
    meta = changed(alice, cookies=Cookies({"a": "short", "a.b": "long"}), meta={"tenant": {"name": "acme"}})
    assert ask(shell, "cookies a.b", meta) == "long"
    assert ask(shell, "cookies.a.b", meta) == "long"
    assert ask(shell, "cookies.a", meta) == "short"
    assert ask(shell, "meta tenant name", meta) == "acme"


@pytest.mark.parametrize("line", ["", "request", "user", "headers", "cookies", "query", "url", "redacted", "--json"])
def test_a_whole_is_shown_masked(shell: Any, alice: AppMeta, line: str) -> None:
    """Rich display that prints all cookies is a trap: no form of a whole has a value in it."""
    formats, _ = shell.display_formatter.format(ask(shell, line, alice))
    assert "SECRET" not in json.dumps(formats)
    assert "SECRET" not in repr(ask(shell, line, alice))


def test_whole_is_the_request_itself(shell: Any, alice: AppMeta) -> None:
    """What is assigned can be worked with: ``%app_meta`` gives the AppMeta, ``%app_meta user`` the user."""
    assert ask(shell, "", alice) is alice
    assert ask(shell, "user", alice) is alice.user


@pytest.mark.parametrize(
    ("line", "near", "listed"),
    [
        ("usr", "user", "session"),
        ("user.nme", "name", "is_authenticated"),
        ("headers accept_language", "accept-language", "accept-language"),
        ("query regoin", "region", "region"),
        ("url.pth", "path", "hostname"),
        ("session.client", "client_id", "kernel_id"),
    ],
)
def test_unknown_name_lists_the_valid_ones(shell: Any, alice: AppMeta, line: str, near: str, listed: str) -> None:
    """An unknown name is answered with the nearest and with all that there are."""
    said = refusal(shell, line, alice)
    assert f"Did you mean {near}?" in said
    assert listed in said.partition("It has: ")[2]


def test_unknown_name_under_a_single_value(shell: Any, alice: AppMeta) -> None:
    """A path that goes on below a single value says that there is nothing there."""
    assert refusal(shell, "user.username.first", alice) == "user.username has no 'first'. It has: nothing."


def test_error_does_not_show_values_or_control_characters(shell: Any, alice: AppMeta) -> None:
    """The names that an error lists are the visitor's: long lists are cut, escape sequences spelled out."""
    meta = changed(alice, cookies=Cookies({"\x1b[31mred\nline": "SECRET"} | {f"c{n}": "SECRET" for n in range(99)}))
    said = refusal(shell, "cookies nope", meta)
    assert "SECRET" not in said
    assert "\x1b" not in said
    assert "and 76 more" in said


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("headers authorization", "AppMetaExtension.unsafe_headers = ['authorization']"),
        ("headers Authorization", "AppMetaExtension.unsafe_headers = ['authorization']"),
        ("headers.referer", "AppMetaExtension.headers_allow = ['referer']"),
        ("cookies sid", "AppMetaExtension.unsafe_cookies = ['sid']"),
        ("cookies jupyterhub-session-id", "never forwarded"),
        ("query token", "AppMetaExtension.unsafe_query = ['token']"),
        ("query_params.token", "AppMetaExtension.unsafe_query = ['token']"),
        ("client", "AppMetaExtension.trusted_proxies"),
    ],
)
def test_withheld_name_tells_what_opens_it(shell: Any, alice: AppMeta, line: str, remedy: str) -> None:
    """A withheld name is not called unknown: the answer has the option that opens it."""
    said = refusal(shell, line, alice)
    assert "is withheld" in said
    assert remedy in said


def test_withheld_user_field(shell: Any) -> None:
    """A user field that the deployer narrowed away is withheld, not empty."""
    raw = RawRequest("GET", "http://hub/", "http://hub/", user=User(username="alice", name="Alice", assurance="hub"))
    meta = AppMeta(Policy.of(user_fields=["username"]).request(raw), "edit")
    assert "AppMetaExtension.user_fields: add 'name'" in refusal(shell, "user.name", meta)


def test_unknown_groups_are_not_none_at_all(shell: Any, alice: AppMeta) -> None:
    """Groups that are withheld, or did not fit, are shown as such; the sheet never says that there are none."""
    assert alice.user is not None
    unknown = {"user": User({**alice.user, "groups": None})}
    withheld = changed(alice, **unknown, redacted=Names(["user.groups"]))
    dropped = changed(alice, **unknown, truncated=Names(["user.groups"]))
    assert "AppMetaExtension.user_fields: add 'groups'" in refusal(shell, "user.groups", withheld)
    assert refusal(shell, "user.groups", dropped) == "user.groups was sent, but did not fit into the stamp."


def test_field_with_a_credential_inside(shell: Any) -> None:
    """Of a provider's field that is kept back for what is inside it, no option is named."""
    user = User(username="alice", assurance="provider", nested={"a": 1, "password": "SECRET"})
    meta = AppMeta(Policy().request(RawRequest("GET", "http://hub/", "http://hub/", user=user)), "edit")
    said = refusal(shell, "user.nested", meta)
    assert "contains what looks like a credential, for which there is no option" in said
    assert "user_fields" not in said
    assert "user_fields" not in str(shell.display_formatter.format(ask(shell, "redacted", meta)))


def test_name_of_another_kind_is_not_withheld(shell: Any, alice: AppMeta) -> None:
    """A withheld cookie called ``headers.nope`` says nothing about a header ``nope``."""
    meta = changed(alice, redacted=Names(["cookies.headers.nope", "headers.client"]))
    assert "has no 'nope'" in refusal(shell, "headers nope", meta)
    assert ask(shell, "client", meta) is None


def test_truncated_name_is_told_from_an_unknown_one(shell: Any, alice: AppMeta) -> None:
    """An item that did not fit into the stamp is not called unknown."""
    meta = changed(alice, truncated=Names(["query.filter"]))
    assert refusal(shell, "query filter", meta) == "query.filter was sent, but did not fit into the stamp."


@pytest.mark.parametrize("line", ["user", "user.username", "headers accept", "url.path", "redacted", "request"])
def test_no_request_gives_none_and_teaches(shell: Any, capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Missing context answered ``""`` elsewhere, a trap: here it is None, and a sentence says what to do."""
    assert ask(shell, line, AppMeta()) is None
    said = capsys.readouterr().out
    assert "nbconvert" in said
    assert "jupyter app-meta check" in said


def test_no_request_still_knows_its_mode(shell: Any) -> None:
    """What does not come from a request is known without one."""
    assert ask(shell, "mode", AppMeta()) == "script"


def test_none_is_put_into_words(shell: Any, alice: AppMeta, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is not known is None, which IPython does not show, so a sentence says it."""
    assert ask(shell, "user.color", alice) is None
    assert capsys.readouterr().out == "user.color is not known here.\n"


def test_json_masks_what_was_not_asked_for(shell: Any, alice: AppMeta) -> None:
    """``--json`` gives valid JSON: the whole masked, the user and a single value as they are."""
    whole = json.loads(ask(shell, "--json", alice))
    assert whole["request"]["headers"] == {"accept-language": "***"}
    assert whole["request"]["url"] == "http://hub/user/alice/lab/tree/sales.ipynb?region=***"
    assert json.loads(ask(shell, "cookies --json", alice)) == {"theme": "***"}
    assert json.loads(ask(shell, "--json cookies theme", alice)) == "SECRET-COOKIE"
    assert json.loads(ask(shell, "user --json", alice)) == json.loads(json.dumps(alice.user))
    assert json.loads(ask(shell, "--json", AppMeta()))["request"] is None


def test_json_is_shown_as_json(shell: Any, alice: AppMeta) -> None:
    """The shown text is the JSON itself, not the repr of a string."""
    formats, _ = shell.display_formatter.format(ask(shell, "user --json", alice))
    assert json.loads(formats["text/plain"])["username"] == "alice"


def test_redacted_lists_the_option_of_each_name(shell: Any, alice: AppMeta) -> None:
    """``%app_meta redacted`` is a tuple of names that shows beside each what opens it."""
    formats, _ = shell.display_formatter.format(ask(shell, "redacted", alice))
    for form in ("text/plain", "text/html"):
        assert "headers.authorization" in formats[form]
        assert "AppMetaExtension.unsafe_headers" in formats[form]


@pytest.mark.parametrize("line", ["-h", "--help", "user --help"])
def test_help_is_the_usage(shell: Any, capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Asking for help shows the short usage, with and without a request."""
    assert ask(shell, line, AppMeta()) is None
    said = capsys.readouterr().out
    assert said.startswith("Show the request of the running cell")
    assert "\n%app_meta headers accept-language " in said


@pytest.mark.parametrize("line", ["--jason", "user --jason", "--Json", "-j"])
def test_unknown_option_is_told_from_a_field(shell: Any, alice: AppMeta, line: str) -> None:
    """A misspelt option is answered with the options, not with the fields."""
    said = refusal(shell, line, alice)
    assert said.startswith("%app_meta has no option '-")
    assert said.endswith("It takes: --json, --help.")
    assert ("Did you mean --json?" in said) == (line != "-j")


def test_unclosed_quote_is_one_line(shell: Any, alice: AppMeta) -> None:
    """A slip in quoting is a usage error."""
    with pytest.raises(UsageError, match="No closing quotation"):
        ask(shell, "cookies 'theme", alice)


@pytest.mark.parametrize("cell", ["app_meta()", "app_meta().user", "app_meta ()"])
def test_function_without_its_import_is_told_apart(shell: Any, capsys: pytest.CaptureFixture[str], cell: str) -> None:
    """IPython takes ``app_meta()`` for the magic where it is not imported; the answer is the import."""
    assert isinstance(shell.run_cell(cell).error_in_exec, UnknownField)
    assert "from jupyter_app_meta import app_meta" in capsys.readouterr().out


# Registration


def hooks(shell: Any) -> list[int]:
    """Return how many of each hook the shell has."""
    magics = [name for kind in shell.magics_manager.magics.values() for name in kind if name == "app_meta"]
    lists = (shell.input_transformers_cleanup, shell.ast_transformers, shell.Completer.custom_matchers)
    return [len(magics), *map(len, lists)]


def test_registering_twice_is_harmless(shell: Any) -> None:
    """A second registration adds nothing, a second removal removes nothing more, and a fake cell leaves nothing."""
    magic.unregister(shell)
    without = hooks(shell)
    assert without[0] == 0
    for _ in range(2):
        magic.register(shell)
        assert hooks(shell) == [2, without[1] + 1, without[2], without[3] + 1]
    shell.run_cell("%%app_meta user.username=alice\n1").raise_error()
    for _ in range(2):
        magic.unregister(shell)
        assert hooks(shell) == without


def test_unloading_removes_the_magics(shell: Any) -> None:
    """After ``%unload_ext`` both magics are unknown, and ``%reload_ext`` brings them back."""
    shell.run_line_magic("unload_ext", "jupyter_app_meta")
    with pytest.raises(UsageError, match="not found"):
        shell.run_line_magic("app_meta", "")
    with pytest.raises(UsageError, match="not found"):
        shell.run_cell_magic("app_meta", "user=alice", "1")
    shell.run_line_magic("reload_ext", "jupyter_app_meta")
    assert shell.run_line_magic("app_meta", "mode") == "script"


def test_other_cells_pass_untouched(shell: Any) -> None:
    """The hooks leave every other cell as it is."""
    for cell in ("1\n", "%%time\n1\n", "%app_meta user\n", "%%app_meta\n", "%%app_metadata x\n1\n"):
        lines = cell.splitlines(keepends=True)
        assert faking.expose(lines) == lines
    tree = ast.parse("f('app_meta', 'x', None)\ng.run_cell_magic('time', '', None)")
    assert ast.dump(faking.Enclose(shell).visit(tree)) == ast.dump(tree)


# The cell magic, in a shell


def test_cell_runs_under_the_fake(shell: Any) -> None:
    """The cell sees the fake request, its variables stay, and its last expression is displayed."""
    result = shell.run_cell(
        "%%app_meta user.username=alice user.name='Alice Liddell' user.groups=a,b user.admin=true user.is_owner=none "
        "query.region=emea query.region=apac headers.accept-language=de cookies.theme=dark meta.tenant=acme "
        "path_params.id=7 session.path=x.ipynb url=/dashboard\n"
        "from jupyter_app_meta import app_meta\n"
        "meta = app_meta()\n"
        "meta.user.username"
    )
    assert result.result == "alice"
    meta = shell.user_ns["meta"]
    request = meta.request
    assert (meta.mode, meta.session.path) == ("test", "x.ipynb")
    assert (meta.user.name, meta.user.groups, meta.user.admin, meta.user.is_owner) == (
        "Alice Liddell",
        ("a", "b"),
        True,
        None,
    )
    assert request.query_params.getlist("region") == ["emea", "apac"]
    assert str(request.url) == "http://testserver/dashboard?region=emea&region=apac"
    assert (request.headers["accept-language"], request.cookies["theme"]) == ("de", "dark")
    assert (request.meta["tenant"], request.path_params["id"]) == ("acme", "7")


def test_user_may_be_nobody(shell: Any) -> None:
    """A fake user can be one without assurance, and ``user=alice`` is short for the username."""
    cell = "%%app_meta {}\nfrom jupyter_app_meta import app_meta\napp_meta().user"
    assert shell.run_cell(cell.format("user=alice")).result.username == "alice"
    assert shell.run_cell(cell.format("user.is_authenticated=false")).result.kind == "anonymous"
    assert shell.run_cell(cell.format("query.region=emea")).result is None


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("is_owner=True", True),
        ("is_owner=False", False),
        ("is_owner=None", None),
        ("admin=True", True),
        ("is_authenticated=False", False),
        ("assurance=none", "none"),
    ],
)
def test_facts_may_be_written_as_in_python(shell: Any, assignment: str, value: object) -> None:
    """``True`` is as good as ``true``; the assurance ``none`` stays a word."""
    user = shell.run_cell(f"%%app_meta user.username=alice user.{assignment}\n%app_meta user").result
    assert user[assignment.partition("=")[0]] == value
    assert user.is_authenticated is (assignment not in ("is_authenticated=False", "assurance=none"))


def test_variables_are_expanded(shell: Any) -> None:
    """As in any magic, ``{name}`` stands for a variable."""
    shell.user_ns["person"] = "grace"
    assert shell.run_cell("%%app_meta user={person}\n%app_meta user.username").result == "grace"


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        ("alice", "'alice' is not an assignment such as user.username=alice"),
        ("", "needs the request to run the cell under"),
        ("method=POST", "A fake request has no 'method'"),
        ("headers=de", "A fake request has no 'headers'. Did you mean headers.NAME?"),
        ("user.usrname=alice", "user has no 'usrname'. Did you mean username?"),
        ("user.admin=maybe", "user.admin is one of true, false, not 'maybe'"),
        ("user.assurance=high", "user.assurance is one of hub, provider, shared-secret, none, not 'high'"),
        ("session.tab=1", "A fake request has no 'session.tab'"),
        ("headers.x=\u4e2d", "This request is not possible"),
        ("user.name='Alice", "No closing quotation"),
    ],
)
def test_bad_assignment_is_one_line(
    shell: Any, capsys: pytest.CaptureFixture[str], assignments: str, said: str
) -> None:
    """A bad assignment ends in one line that says what is wrong, and the cell does not run."""
    shell.run_cell(f"%%app_meta {assignments}\nran = True")
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert len((captured.out + captured.err).strip().splitlines()) == 1
    assert "ran" not in shell.user_ns


def test_user_fields_of_a_provider_can_be_set(shell: Any) -> None:
    """A user may have fields that only some identity provider gives."""
    assert shell.run_cell("%%app_meta user.department=sales\n%app_meta user.department").result == "sales"


def test_empty_body_is_refused(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell magic without a cell is IPython's own usage error; with a comment only, nothing happens."""
    shell.run_cell("%%app_meta user=alice\n")
    assert "the cell body is empty" in capsys.readouterr().err
    assert shell.run_cell("%%app_meta user=alice\n\n# nothing\n").success


@pytest.mark.parametrize("ending", ["1 / 0", "raise SystemExit", "raise KeyboardInterrupt", "def f(:", "x"])
def test_fake_does_not_outlive_its_cell(shell: Any, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    """However the cell ends, the next one does not see the fake."""
    shell.run_cell(f"%%app_meta user=mallory\n{ending}")
    assert app_meta() == AppMeta()
    assert shell.run_cell("%app_meta mode").result == "script"
    capsys.readouterr()


def test_error_has_its_ordinary_traceback(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback of a cell's error points to its line, and has no frame of ours."""
    result = shell.run_cell("%%app_meta user=alice\nx = 1\nx / 0")
    shown = capsys.readouterr().out
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "----> 3 x / 0" in shown
    assert "jupyter_app_meta" not in shown


def test_other_magics_work_inside_and_outside(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Line magics, a nested cell magic, an outer one and another fake compose."""
    who = "%app_meta user.username"
    assert shell.run_cell(f"%%app_meta user=alice\n{who}").result == "alice"
    assert shell.run_cell(f"%%app_meta user=alice\n%%app_meta user=bob\n{who}").result == "bob"
    shell.run_cell(
        f"%%app_meta user=alice\n%%capture inner\nprint({who!r}, get_ipython().run_line_magic(*{who[1:].split()}))"
    )
    assert shell.user_ns["inner"].stdout == f"{who} alice\n"
    shell.run_cell(f"%%capture outer\n%%app_meta user=alice\nname = {who}\nprint(name)")
    assert shell.user_ns["outer"].stdout == "alice\n"
    capsys.readouterr()


def test_future_import_stays_first(shell: Any) -> None:
    """A cell may begin with a future import, which no block may hold."""
    cell = "%%app_meta user=alice\nfrom __future__ import annotations\ndef f(x: missing): return x\nf(1)"
    assert shell.run_cell(cell).result == 1


@pytest.mark.parametrize(
    ("interactivity", "shown"),
    [("last_expr", ["3"]), ("last", ["3"]), ("all", ["1", "2", "3"]), ("none", [])],
)
def test_expressions_are_displayed_as_configured(
    shell: Any, capsys: pytest.CaptureFixture[str], interactivity: str, shown: list[str]
) -> None:
    """Which expressions a cell displays is the user's setting, with and without the magic."""
    shell.ast_node_interactivity = interactivity
    outputs = []
    for first in ("", "%%app_meta user=alice\n"):
        shell.run_cell(f"{first}1\n2\n3")
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert [line.split(": ")[1] for line in outputs[1].split("\n") if line] == shown


@pytest.mark.parametrize("statement", ["y = 5", "y: int = 5", "y = 1; y += 4"])
def test_last_assignment_is_displayed_where_configured(shell: Any, statement: str) -> None:
    """``last_expr_or_assign`` shows the assigned value inside the fake too."""
    shell.ast_node_interactivity = "last_expr_or_assign"
    assert shell.run_cell(f"%%app_meta user=alice\n{statement}").result == 5


def test_magic_called_from_code(shell: Any) -> None:
    """``run_cell_magic`` from code runs the text as a cell under the fake."""
    shell.run_cell_magic("app_meta", "user=alice", "name = %app_meta user.username")
    assert shell.user_ns["name"] == "alice"
    assert app_meta() == AppMeta()


def test_console_waits_for_the_end_of_the_cell(shell: Any) -> None:
    """In a console the cell is complete after a blank line, as any cell magic."""
    assert shell.check_complete("%%app_meta user=alice\n1")[0] == "incomplete"
    assert shell.check_complete("%%app_meta user=alice\n1\n\n")[0] == "complete"


# In a real kernel


def test_kernel_shows_the_table(run: Run, alice: AppMeta) -> None:
    """``%app_meta`` in a cell shows text and HTML with the names and none of the values."""
    (shown,) = of_type(run("%app_meta", alice), "execute_result")
    for form in ("text/plain", "text/html"):
        assert "alice" in shown["data"][form]
        assert "accept-language" in shown["data"][form]
    assert "SECRET" not in json.dumps(shown)


@pytest.mark.parametrize("expression", ["app_meta()", "app_meta().request", "app_meta().user", "app_meta().cookies"])
def test_last_expression_has_the_rich_form(run: Run, alice: AppMeta, expression: str) -> None:
    """The values themselves are shown as tables, without the magic."""
    (shown,) = of_type(run(f"from jupyter_app_meta import app_meta\n{expression}", alice), "execute_result")
    assert "<table>" in shown["data"]["text/html"]
    assert "SECRET" not in json.dumps(shown)


def test_assignment_gets_the_value(run: Run, alice: AppMeta) -> None:
    """``who = %app_meta user.username`` assigns the name and shows nothing."""
    assert printed(run("who = %app_meta user.username\nprint(who)", alice)) == "alice"


def test_unknown_name_is_one_line_in_a_cell(run: Run, alice: AppMeta) -> None:
    """A misspelt name ends in an error output of one line, so that a run of all cells stops there."""
    outputs = run("who = %app_meta user.nme", alice)
    (error,) = of_type(outputs, "error")
    assert error["ename"] == "UnknownField"
    assert error["traceback"] == [f"UnknownField: {error['evalue']}"]
    assert "\n" not in error["traceback"][0]
    assert outputs[-1]["status"] == "error"


def test_unknown_name_can_be_caught(run: Run, alice: AppMeta) -> None:
    """For code it is an ordinary exception."""
    cell = (
        "from jupyter_app_meta import UnknownField\ntry:\n    %app_meta usr\nexcept UnknownField:\n    print('caught')"
    )
    assert printed(run(cell, alice)) == "caught"


def test_unstamped_cell_is_taught(run: Run) -> None:
    """A cell that no server stamped gets the lesson in place of a table."""
    (shown,) = displayed(run("%app_meta"))
    assert "jupyter app-meta check" in shown
    assert "jupyter app-meta check" in printed(run("who = %app_meta user.username"))
    assert printed(run("print(who)")) == "None"


def test_cell_that_awaits_runs_under_the_fake(run: Run, alice: AppMeta) -> None:
    """A cell may await: before, after and in tasks that it starts, it sees the fake; the next cell does not."""
    outputs = run(
        "%%app_meta user.username=grace\n"
        "import asyncio\n"
        "from jupyter_app_meta import app_meta\n"
        "async def who():\n"
        "    await asyncio.sleep(0.01)\n"
        "    return app_meta().user.username\n"
        "seen = [app_meta().user.username, await who(), await asyncio.create_task(who())]\n"
        "seen + [await who()]",
        alice,
    )
    assert displayed(outputs) == ["['grace', 'grace', 'grace', 'grace']"]
    assert printed(run("print(await who(), len(seen))", alice)) == "alice 3"


@pytest.mark.parametrize(
    "failure", ["1 / 0", "await asyncio.sleep(0); 1 / 0", "await asyncio.wait_for(asyncio.Event().wait(), 0.01)"]
)
def test_failing_cell_leaks_no_fake(run: Run, alice: AppMeta, failure: str) -> None:
    """A cell that fails, awaiting or not, shows its own traceback, and the next cell sees its sender."""
    outputs = run(f"%%app_meta user.username=mallory\nimport asyncio\n{failure}", alice)
    (error,) = of_type(outputs, "error")
    assert error["ename"] in ("ZeroDivisionError", "TimeoutError")
    assert outputs[-1]["status"] == "error"
    assert printed(run("who = %app_meta user.username\nprint(who)", alice)) == "alice"
    assert printed(run("mode = %app_meta mode\nprint(mode)")) == "script"


def test_semicolon_silences_the_last_expression(run: Run) -> None:
    """A semicolon hides the last value, as in any cell."""
    assert displayed(run("%%app_meta user=alice\n6 * 7;")) == []
    assert displayed(run("%%app_meta user=alice\n6 * 7")) == ["42"]


def test_usage_error_in_a_kernel_is_one_line(run: Run) -> None:
    """A bad assignment fails the cell with one line."""
    outputs = run("%%app_meta nonsense\nprint('ran')")
    assert outputs[-1]["status"] == "error"
    (stream,) = of_type(outputs, "stream")
    assert stream["text"].count("\n") == 1


def test_missing_header_teaches_in_a_cell(run: Run, alice: AppMeta) -> None:
    """A cell that asks for what the server withholds is told which option opens it."""
    cell = "from jupyter_app_meta import app_meta\napp_meta().request.headers['referer']"
    (error,) = of_type(run(cell, alice), "error")
    assert error["ename"] == "UnknownItem"
    assert error["evalue"].startswith("headers.referer is withheld from notebooks.")
    assert "AppMetaExtension.headers_allow = ['referer']" in error["evalue"]
    assert "SECRET" not in json.dumps(error)


# Completion, in a real kernel


def offered(texts: list[str]) -> list[str]:
    """Return what stands after the magic's name in each completed text."""
    return [text.partition("app_meta ")[2] for text in texts]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%app_meta us", ["user"]),
        ("%app_meta user.user", ["user.username"]),
        ("%app_meta user user", ["user username"]),
        ("who = %app_meta user.is_o", ["user.is_owner"]),
        ("%app_meta headers acc", ["headers accept-language"]),
        ("%app_meta headers.accept-l", ["headers.accept-language"]),
        ("%app_meta cookies ", ["cookies theme", "cookies --json"]),
        ("%app_meta cookies.", ["cookies.theme"]),
        ("%app_meta query ", ["query region", "query --json"]),
        ("%app_meta query_params.", ["query_params.region"]),
        ("%app_meta request.url.pa", ["request.url.path"]),
        ("%app_meta session.cl", ["session.client_id"]),
        ("%app_meta --j", ["--json"]),
        ("x = 1\n%app_meta user.admi", ["user.admin"]),
        ("%%app_meta user.user", ["user.username="]),
        ("%%app_meta user.username=a que", ["user.username=a query.region="]),
        ("%%app_meta headers.a", ["headers.accept-language="]),
        ("%%app_meta u", [*(f"user.{name}=" for name in magic.EMPTY.user or ()), "url="]),
    ],
)
def test_completion(completions: Complete, alice: AppMeta, code: str, expected: list[str]) -> None:
    """Each path completes, present header, cookie and query names included, and nothing else is offered."""
    assert offered(completions(code, alice)) == expected


def test_completion_of_nothing_offers_every_root(completions: Complete, alice: AppMeta) -> None:
    """After the magic's name, what it takes is offered."""
    assert set(offered(completions("%app_meta ", alice))) == {*magic.ROOTS, "--json"}


def test_completion_is_the_visitors_own(completions: Complete, alice: AppMeta) -> None:
    """What one visitor sent is not offered to another, nor without a visitor."""
    bob = changed(alice, cookies=Cookies({"lang": "SECRET"}), query_params=QueryParams())
    assert offered(completions("%app_meta cookies.", bob)) == ["cookies.lang"]
    assert offered(completions("%app_meta user.user")) == ["user.username"]
    assert "cookies.theme" not in offered(completions("%app_meta cookies."))


def test_completion_offers_only_what_can_be_typed(completions: Complete, alice: AppMeta) -> None:
    """A name with spaces, quotes or braces would not be read back as one word."""
    names = {"ok": "", "a b": "", "it's": "", '"': "", "{x}": "", "$x": "", "\u202eevil": "", "a\nb": ""}
    assert offered(completions("%app_meta cookies.", changed(alice, cookies=Cookies(names)))) == ["cookies.ok"]


def test_completion_offers_nothing_that_is_refused(completions: Complete, run: Run, alice: AppMeta) -> None:
    """A read-only user offers its fields, and not what would change it; a mapping its names."""
    run("from jupyter_app_meta import app_meta\nu, h = app_meta().user, app_meta().request.headers", alice)
    assert completions("u.po") == []
    assert "u.username" in completions("u.user")
    assert completions('h["acc') == ['h["accept-language']


def test_completion_elsewhere_is_as_before(completions: Complete, run: Run) -> None:
    """Outside the magics IPython completes as always."""
    run("app_meta_variable = 1")
    assert completions("x = 1\napp_meta_vari") == ["x = 1\napp_meta_variable"]
