"""State of dashboards whose kernels run ahead: what is shared works before the visitor, in the right space."""

from __future__ import annotations

from pathlib import Path

from stage import eventually, staging, visit, write

NAMES = "from jupyter_app_meta import shared, visitor"
APP = """
app = (create_app(identity_provider=People)
       .with_app(path="/ahead/{region}", root="ahead.ipynb", warm=1, fork=False, state="sales")
       .with_app(path="/named", root="read.ipynb", state="sales")
       .with_app(path="/other", root="read.ipynb"))
"""


def test_a_warm_kernel_shares_before_its_visitor_and_knows_the_visitor_after(tmp_path: Path) -> None:
    """Nobody has opened the page: its kernel has stored under the name of its settings, and nowhere else."""
    mine = "print(f'<mine {visitor.state.add(\"visits\")}>')"
    write(tmp_path / "root" / "ahead.ipynb", f"{NAMES}\nshared.state['ahead'] = 'yes'", mine)
    write(tmp_path / "root" / "read.ipynb", f"{NAMES}\nprint(f'<{{dict(shared.state)}}>')")
    with staging(tmp_path, APP) as server:
        eventually(lambda: "<{'ahead': 'yes'}>" in visit(server, "alice", "named").html)
        assert "<{}>" in visit(server, "alice", "other").html
        assert "<mine 1>" in visit(server, "alice", "ahead/north").html
        assert "<mine 2>" in visit(server, "alice", "ahead/south").html
        assert "<mine 1>" in visit(server, "bob", "ahead/north").html
