//! What the layers of `limited` do over real sockets, with real servers and clients: see `tests/`.
