"""The process in which IPython runs. It never imports zmq and knows nothing of sockets."""
