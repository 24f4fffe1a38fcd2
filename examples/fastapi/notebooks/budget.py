# ---
# title: Budget
# ---

# %% [markdown]
# # Budget
#
# Only the group `finance` sees this page.

# %%
from jupyter_app_meta import app_meta

print(f"{app_meta().require_user()['username']}, the budget is 1,200,000.")
