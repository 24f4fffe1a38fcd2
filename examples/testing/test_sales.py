"""The dashboard sales.ipynb, as five visitors see it. `dashboard` is a fixture of jupyter-app-meta's pytest plugin."""


def test_alice_chooses_a_region(dashboard):
    page = dashboard("sales.ipynb", user="alice")
    assert "Welcome alice!" in page.text
    assert "emea: 1200 sold, seen by alice" in page.text
    page.widget("Region").set("apac")
    assert "apac: 900 sold, seen by alice" in page.text
    page.widget("Add a note").click()
    assert "alice was here" in page.text


def test_bob_comes_by_a_link(dashboard):
    page = dashboard("sales.ipynb", user="bob", query={"region": "apac"})
    assert page.widget("Region").value == "apac"
    assert page.widget("Region").options == ("emea", "apac")


def test_a_manager_may_see_all_regions(dashboard):
    page = dashboard("sales.ipynb", user={"username": "carol", "groups": ["managers"]}, query="region=all")
    assert "all: 2100 sold" in page.cells[3].text


def test_dora_reads_german_on_a_dark_page(dashboard):
    page = dashboard("sales.ipynb", user="dora", headers={"Accept-Language": "de"}, cookies={"theme": "dark"})
    assert "<p class=dark>Umsatz</p>" in page.html


def test_a_stranger_must_log_in(dashboard):
    page = dashboard("sales.ipynb")
    assert page.error.name == "NotAuthenticated"
    assert "Welcome" not in page.text
