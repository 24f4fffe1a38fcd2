"""What stored state costs: in cells (``state.cells``) and in dashboards (``state.pages``)."""
