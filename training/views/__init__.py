"""The manager's pages, one module each. A view resolves, validates, calls one service, renders."""
