"""Where state is kept: one module for each kind of database, and `open`, which alone imports them."""
