"""The two ends of an HTTP/1.1 connection, and the event streams that run over it.

Why our own: `docs/decisions/0003-own-http.md`. Parsing is httptools (llhttp, the parser of Node.js).
"""
