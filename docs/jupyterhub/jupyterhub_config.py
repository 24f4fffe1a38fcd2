"""A JupyterHub whose notebooks and dashboards know who is looking."""

from pathlib import Path

here = Path(__file__).parent
c = get_config()  # noqa: F821  # JupyterHub puts it here

# Dashboards for everybody who may log in: the notebooks of a folder, served by one process beside the
# Hub, at /services/dashboards/. Which visitor sees which page is said in dashboards_config.py.
c.JupyterHub.services = [
    {
        "name": "dashboards",
        "url": "http://127.0.0.1:10101",
        "command": ["jupyter-app-meta", "serve", "dashboards", "--hub", "--warm=1", "--config=dashboards_config.py"],
        "cwd": str(here),
        "oauth_no_confirm": True,
    }
]

# Everybody may use the service, and share a server of their own. Who is given a share may run code there.
c.JupyterHub.load_roles = [
    {
        "name": "user",
        "scopes": ["self", "access:services!service=dashboards", "shares!user", "read:users:name", "read:groups:name"],
    }
]
c.JupyterHub.load_groups = {"analysts": {"users": ["bob"]}}

# The servers of users: jupyter-app-meta is there as soon as it is installed, and Voila too. A user's own
# notebooks are dashboards at /user/<name>/voila/render/<notebook>.
c.Spawner.args = ["--AppMetaExtension.cookies_allow=theme"]
