"""One page, written for each server: it loads what it needs, says who its visitor is, and has a slider with a callback.

``HEADS`` are the two kinds of notebook: a bare one, and one that loads pandas and matplotlib. Each page prints
``visitor NAME is here``, and its callback ``NAME moved to VALUE``.
"""

from __future__ import annotations

HEADS = {
    "bare": "ready = True",
    "pandas": "import pandas as pd\nimport matplotlib.pyplot as plt\nframe = pd.DataFrame({'x': range(1000)})",
}

_WIDGETS = """import ipywidgets
from IPython.display import display
slider, label = ipywidgets.IntSlider(), ipywidgets.Label("untouched")
def moved(change):
    label.value = f"{name()} moved to {change.new}"
slider.observe(moved, "value")
display(slider, label)
print("slider", slider.comm.comm_id, "label")"""

_ASKED = {
    "ours": "from jupyter_app_meta import app_meta\ndef name():\n    return app_meta().request.query_params['user']",
    "Voila": "import os\ndef name():\n    return os.environ['QUERY_STRING'].partition('=')[2]",
    "Voila ahead": (
        "from voila.utils import get_query_string\nasked = ''\ndef name():\n    global asked\n"
        "    asked = asked or get_query_string().partition('=')[2]\n    return asked"
    ),
}
"""How a notebook asks. Voila's own function answers once: a callback has to keep the answer."""

_GREETING = "print('visitor', name(), 'is here')"


def cells(server: str, head: str) -> list[str]:
    """Return the cells of a notebook: what can be loaded first, and then the question."""
    return [HEADS[head], f"{_ASKED[server]}\n{_WIDGETS}", _GREETING]


def program(server: str, head: str) -> str:
    """Return the program of a framework's page."""
    return _PROGRAMS[server].replace("HEAD", HEADS[head]).replace("INDENTED", HEADS[head].replace("\n", "\n    "))


_PANEL = """HEAD
import panel
user = panel.state.session_args["user"][0].decode()
slider, label = panel.widgets.IntSlider(end=100), panel.pane.Str("untouched")
slider.param.watch(lambda change: setattr(label, "object", f"{user} moved to {change.new}"), "value")
panel.Column(f"visitor {user} is here", slider, label).servable()
"""

_STREAMLIT = """HEAD
import streamlit
user = streamlit.query_params["user"]
streamlit.write(f"visitor {user} is here")
value = streamlit.slider("moved", 0, 100, key="moved")
streamlit.write(f"{user} moved to {value}")
"""

_SOLARA = """HEAD
import solara

@solara.component
def Page():
    user = (solara.use_router().search or "").removeprefix("?").partition("=")[2]
    value, set_value = solara.use_state(0)
    solara.Text(f"visitor {user} is here")
    solara.SliderInt("moved", value=value, on_value=set_value, max=100)
    solara.Text(f"{user} moved to {value}")
"""

_MARIMO = """import marimo

app = marimo.App()

@app.cell
def _():
    INDENTED
    import marimo as mo
    return (mo,)

@app.cell
def _(mo):
    user = mo.query_params()["user"]
    slider = mo.ui.slider(0, 100)
    mo.vstack([mo.md(f"visitor {user} is here"), slider])
    return slider, user

@app.cell
def _(mo, slider, user):
    mo.md(f"{user} moved to {slider.value}")
    return

if __name__ == "__main__":
    app.run()
"""

_PROGRAMS = {"panel": _PANEL, "streamlit": _STREAMLIT, "solara": _SOLARA, "marimo": _MARIMO}
