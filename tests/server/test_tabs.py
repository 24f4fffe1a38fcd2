"""Which page an identity is known to look at, while its tabs come, go, come back and change their address."""

from __future__ import annotations

from jupyter_app_meta.policy import Page
from jupyter_app_meta.server.pages.origins import MAX_IDENTITIES, Origins
from jupyter_app_meta.server.pages.tabs import MAX_LEFT, MAX_PAGES, RETURN, UNSEEN

EMEA, APAC = Page("http://h/notebooks/a.ipynb?region=emea"), Page("http://h/notebooks/a.ipynb?region=apac")
NEW = Page("http://h/notebooks/b.ipynb?region=emea")


class Kernel:
    """One kernel and one identity, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.origins = Origins(lambda kernel_id: True, lambda: self.now)

    def see(self, page: Page, *, stripped: bool = False) -> Kernel:
        """A page looks the session up."""
        self.origins.see("kernel", "alice", page, stripped=stripped)
        return self

    def connect(self, client: str) -> Kernel:
        """A tab opens its socket."""
        self.origins.connect("kernel", "alice", client)
        return self

    def leave(self, client: str) -> Kernel:
        """A tab's socket closes."""
        self.origins.disconnect("kernel", "alice", client)
        return self

    def rename(self, path: str) -> Kernel:
        """The notebook gets a path."""
        self.origins.name("kernel", "session", path)
        return self

    def wait(self, seconds: float) -> Kernel:
        """Time passes."""
        self.now += seconds
        return self

    @property
    def page(self) -> Page | None:
        """The page that is known."""
        return self.origins.page("kernel", "alice")


def test_page_outlives_the_socket_of_a_restarted_kernel() -> None:
    """A tab closes its socket, opens it again, and has its page at once."""
    kernel = Kernel().see(EMEA).connect("tab").leave("tab")
    assert kernel.wait(5).connect("tab").page == EMEA
    assert kernel.leave("tab").connect("another name").page == EMEA


def test_page_is_forgotten_when_its_tab_does_not_come_back() -> None:
    """After a while a page whose tab is gone no longer counts."""
    kernel = Kernel().see(EMEA).connect("tab").leave("tab").wait(RETURN)
    assert kernel.connect("other").page is None


def test_reload_replaces_the_page_and_survives_a_restart() -> None:
    """A reload with another query is the new page, also after the next restart of its kernel."""
    kernel = Kernel().see(EMEA).connect("one").leave("one").see(APAC).connect("two")
    assert kernel.page == APAC
    assert kernel.leave("two").connect("two").page == APAC
    assert kernel.wait(RETURN).see(APAC).leave("two").connect("two").page == APAC


def test_tab_that_comes_back_beside_a_new_one_makes_the_page_unknown() -> None:
    """What looked like a reload were two tabs: one that reconnects, and another one."""
    kernel = Kernel().see(EMEA).connect("one").leave("one").see(APAC).connect("two")
    assert kernel.connect("one").page is None


def test_two_tabs_stay_unknown_while_both_are_connected() -> None:
    """A hidden tab sends no calls, and is still there."""
    kernel = Kernel().see(EMEA).connect("one").see(APAC).connect("two")
    for _ in range(20):
        assert kernel.wait(10).see(APAC).page is None


def test_two_tabs_that_reconnect_stay_unknown() -> None:
    """While one of two tabs reconnects, the other one's page is not taken for its."""
    kernel = Kernel().see(EMEA).connect("one").see(APAC).connect("two")
    assert kernel.leave("one").see(APAC).page is None
    assert kernel.connect("one").page is None
    assert kernel.leave("one").leave("two").page is None
    assert kernel.connect("two").page is None
    assert kernel.connect("one").page is None


def test_page_of_a_closed_tab_is_dropped_once_the_other_is_seen() -> None:
    """Of two tabs one is closed: the other's page is known as soon as only that one was seen for a while."""
    kernel = Kernel().see(EMEA).connect("one").see(APAC).connect("two").leave("one")
    assert kernel.page is None
    kernel.wait(UNSEEN - 1).see(APAC)
    assert kernel.wait(1).see(APAC).page == APAC


def test_old_address_of_a_renamed_notebook_is_no_second_page() -> None:
    """The tab that renames its notebook has a new address, and keeps it over a restart."""
    kernel = Kernel().rename("a.ipynb").see(EMEA).connect("tab").rename("b.ipynb")
    assert kernel.page == EMEA
    assert kernel.see(NEW).page == NEW
    assert kernel.leave("tab").connect("tab").page == NEW


def test_renamed_notebook_of_two_tabs_has_two_pages() -> None:
    """Another tab may still be at the old address."""
    kernel = Kernel().rename("a.ipynb").see(EMEA).connect("one").connect("two").rename("b.ipynb")
    assert kernel.see(NEW).page is None
    kernel = Kernel().rename("a.ipynb").see(EMEA).connect("one").rename("b.ipynb").connect("two")
    assert kernel.see(NEW).page is None


def test_address_that_the_only_tab_has_left_is_dropped() -> None:
    """After any change of a tab's address, the old address counts only for a while."""
    kernel = Kernel().see(EMEA).connect("tab").see(APAC)
    assert kernel.page is None
    assert kernel.wait(UNSEEN).see(APAC).page == APAC


def test_stripped_address_replaces_only_the_same_one_with_a_query() -> None:
    """Lab's address without its query is what became of that address, and of no other."""
    bare = Page(APAC.url.partition("?")[0])
    kernel = Kernel().see(EMEA).connect("tab").see(bare, stripped=True)
    assert kernel.page == bare
    longer = Page(bare.url + "x?region=emea")
    assert Kernel().see(longer).see(bare, stripped=True).page is None


def test_stamps_are_made_anew_whenever_the_page_is_another() -> None:
    """Each change of what is known raises the version that connections look at."""
    kernel = Kernel().see(EMEA).connect("tab")
    versions = [kernel.origins.version("kernel")]
    kernel.leave("tab").connect("tab")
    assert kernel.origins.version("kernel") == versions[0]
    kernel.see(APAC)
    versions.append(kernel.origins.version("kernel"))
    kernel.wait(UNSEEN).see(APAC)
    versions.append(kernel.origins.version("kernel"))
    assert versions == sorted(set(versions))


def test_what_is_known_of_tabs_is_bounded() -> None:
    """Pages, clients and identities that come and go do not fill the server."""
    kernel = Kernel()
    for number in range(1000):
        kernel.see(Page(f"http://h/{number}")).connect(str(number)).leave(str(number))
    tabs = kernel.origins._kernels["kernel"].tabs["alice"]
    assert len(tabs._seen) <= MAX_PAGES and len(tabs._left) <= MAX_LEFT and not tabs._live
    for number in range(3 * MAX_IDENTITIES):
        kernel.origins.connect("kernel", str(number), "tab")
        kernel.origins.disconnect("kernel", str(number), "tab")
        kernel.wait(0.1)
    assert len(kernel.origins._kernels["kernel"].tabs) <= MAX_IDENTITIES
    kernel.origins.connect("kernel", "late", "tab")
    kernel.origins.see("kernel", "late", EMEA)
    assert kernel.origins.page("kernel", "late") == EMEA
