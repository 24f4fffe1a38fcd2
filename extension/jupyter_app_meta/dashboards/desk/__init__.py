"""What code in kernels asks about the browser pages that show them."""
