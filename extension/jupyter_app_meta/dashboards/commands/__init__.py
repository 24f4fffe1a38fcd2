"""What code in kernels asks of the pages that show them, and what waits for each page."""
