"""What jupyter-app-meta adds to a JupyterHub's configuration, which has an authenticator and a spawner already."""

from pathlib import Path

here = Path(__file__).parent
c = get_config()  # noqa: F821  # JupyterHub puts it here

# Dashboards for everybody who may log in: the notebooks of a folder, served by one process beside the
# Hub, at /services/dashboards/. Which visitor sees which page is said in dashboards_config.py.
c.JupyterHub.services = [
    {
        "name": "dashboards",
        "url": "http://127.0.0.1:10101",  # where the Hub's proxy reaches it
        "command": ["jupyter-app-meta", "serve", "dashboards", "--hub", "--warm=1", "--config=dashboards_config.py"],
        "cwd": str(here),
        "oauth_no_confirm": True,
        # Name a system user without rights as its "user", too: else its notebooks run as the Hub's own.
    }
]

# Everybody may use the service, and share a server of their own: who is given a share may run code there.
c.JupyterHub.load_roles = [
    {
        "name": "user",
        "scopes": ["self", "access:services!service=dashboards", "shares!user", "read:users:name", "read:groups:name"],
    }
]

# The servers of users: what is installed there is enabled. With Voila, a user's own notebooks are
# dashboards at /user/<name>/voila/render/<notebook>.
c.Spawner.args = ["--AppMetaExtension.cookies_allow=theme"]
