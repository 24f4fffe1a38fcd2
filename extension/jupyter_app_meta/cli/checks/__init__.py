"""What ``jupyter app-meta check`` looks at: a server's configuration, kernels, notebooks and folders."""
