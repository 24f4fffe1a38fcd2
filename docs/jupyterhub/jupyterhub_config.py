"""What jupyter-app-meta adds to a JupyterHub's configuration, which already has an authenticator and a spawner."""

from pathlib import Path

here = Path(__file__).parent
c = get_config()  # noqa: F821  # JupyterHub puts it here

# Dashboards for every user who may log in: the notebooks of a folder, served by one process beside the
# Hub, at /services/dashboards/. dashboards_config.py says which visitor may see which page.
c.JupyterHub.services = [
    {
        "name": "dashboards",
        "url": "http://127.0.0.1:10101",  # where the Hub's proxy reaches it
        "command": ["jupyter-app-meta", "serve", "dashboards", "--hub", "--warm=1", "--config=dashboards_config.py"],
        "cwd": str(here),
        "oauth_no_confirm": True,
        # Also name a system user without rights as its "user". Otherwise its notebooks run as the Hub's own user.
    }
]

# Every user may use the service, and may share their own server. A user who is given a share may run code there.
c.JupyterHub.load_roles = [
    {
        "name": "user",
        "scopes": ["self", "access:services!service=dashboards", "shares!user", "read:users:name", "read:groups:name"],
    }
]

# The servers of users. An installed extension is enabled there. If Voila is installed, a user's own notebooks
# are dashboards at /user/<name>/voila/render/<notebook>.
c.Spawner.args = ["--AppMetaExtension.cookies_allow=theme"]
