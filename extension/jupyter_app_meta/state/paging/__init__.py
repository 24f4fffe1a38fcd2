"""What code asks of the visitor's page, who answers it, and which forms addresses and cookies must have. Pure.

The kernel that asks names the page: each dashboard's page has a kernel of its own.
"""
