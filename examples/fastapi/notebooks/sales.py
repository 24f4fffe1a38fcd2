# ---
# title: Sales
# ---

# %% [markdown]
# # Sales

# %%
import ipywidgets
from IPython.display import display

from jupyter_app_meta import app_meta

request = app_meta().request
user = app_meta().require_user()
print(f"Welcome {user['display_name']}! You are in {request.meta['office']}.")

# %%
SALES = {"North": [120, 150, 170], "South": [80, 95, 140]}

region = ipywidgets.Dropdown(options=[*SALES], description="Region", value=request.query_params.get("region", "North"))
total = ipywidgets.Label()


def show(change=None):
    """Show the total of the region, and who asks: a callback knows its visitor, too."""
    total.value = f"{app_meta().user.username} sees {sum(SALES[region.value])} orders in the {region.value}."


region.observe(show, "value")
show()
display(region, total)
