"""The process that owns the sockets and the worker's life. It never imports IPython."""
