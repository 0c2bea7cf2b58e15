"""What can go wrong, named for whose fault it is."""


class ConnectionFileError(Exception):
    """A connection file or an address cannot be used: the fault of whoever started the kernel."""


class RegistrationError(Exception):
    """Whoever waits for the kernel's ports did not take them."""


class MalformedMessageError(Exception):
    """A client's frames are no message, or are not signed with the key: nothing was done."""


class WorkerStartError(Exception):
    """No worker could be started."""


class ProvisionerError(Exception):
    """The option of a provisioner was given by somebody else."""


class MetricsError(Exception):
    """Metrics cannot be served where they were asked for."""
