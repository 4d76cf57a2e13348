"""What can go wrong while servers are fetched, started or stopped."""


class ServerError(Exception):
    """Something about a local server went wrong; the message is meant for the person at the terminal."""


class StartError(ServerError):
    """A server did not come up: the message names its log file and shows the log's last lines."""


class PortInUseError(ServerError):
    """Another process listens on the port that a server was given."""


class JarError(ServerError):
    """A jar could not be fetched, or is not the one that jars.lock pins."""


class JavaError(ServerError):
    """There is no Java that runs the servers."""


class IdentityError(ServerError):
    """Two servers have the same id, or a data directory belongs to another server."""
