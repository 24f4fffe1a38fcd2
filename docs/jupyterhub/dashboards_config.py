"""Which visitors may see which dashboards of the Hub's service."""

c = get_config()  # noqa: F821  # jupyter app-meta puts it here


def authorize(user, request):
    """Show the folder's sales.ipynb to analysts only, and every other notebook to all visitors."""
    return "analysts" in user.groups or request.path_params["name"] != "sales"


c.Serve.authorize = authorize
c.AppMetaExtension.cookies_allow = ["theme"]
