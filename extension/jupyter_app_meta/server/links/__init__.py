"""How a server hands stored state to its kernels: grants in stamps, and a link to each kernel's control channel."""
