"""JupyterLab in a browser: when a notebook can be used, and cells that are run by the keyboard."""

from __future__ import annotations

from playwright.sync_api import Page

PATIENCE = 60_000
"""Milliseconds that a slow machine may take for one step."""

READY_TO_RUN = """kernel => document.querySelectorAll(".jp-NotebookPanel").length === 1
    && [...document.querySelectorAll(".jp-KernelName")].some(name => name.textContent === kernel)
    && document.querySelector(".jp-Notebook-ExecutionIndicator[data-status='idle']")"""
"""The page has one notebook, and its kernel is idle.

Lab says that it is idle before it has a kernel, too, and what is run then is lost: the name must be there. And if a
workspace brings back a second notebook, the kernel of either may be the one that is idle.
"""

TAKES_KEYS = """number => {
    const notebook = document.querySelector(".jp-Notebook.jp-mod-editMode");
    const cell = notebook?.querySelectorAll(".jp-CodeCell")[number];
    return cell?.classList.contains("jp-mod-active") && cell.contains(document.activeElement);
}"""
"""The cell is edited, as Lab's shortcuts see it.

Lab finds a shortcut by classes that it sets some time after the click. On a busy machine a key that is pressed before
that belongs to neither of its modes, and does nothing.
"""


def edit_cell(page: Page, number: int) -> None:
    """Click into a code cell and wait until it takes the keys."""
    page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".cm-content").click(timeout=PATIENCE)
    page.wait_for_function(TAKES_KEYS, arg=number, timeout=PATIENCE)


def run_cell(page: Page, number: int) -> None:
    """Run a code cell by the keyboard."""
    edit_cell(page, number)
    page.keyboard.press("Control+Enter")
