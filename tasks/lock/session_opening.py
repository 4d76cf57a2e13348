"""Opening a ZooKeeper session: connected, the layout and the guard made; or, for a person, why not and what to do."""

import logging
import time

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    KazooException,
    NoAuthError,
    NoNodeError,
    SessionClosedRequireSaslError,
)
from kazoo.handlers.threading import KazooTimeoutError

from lastword.contract.errors import SessionLostError, ZnodeForbiddenError
from tasks.lock.layout import make_layout, open_to_everybody, permitted, remaining_s
from tasks.lock.zookeeper_client import Security, trouble_of

log = logging.getLogger(__name__)


def open_session(
    client: KazooClient, hosts: str, *, root: str, guard: str, holder: bytes, security: Security, timeout_s: float
) -> None:
    """Connect, make the fixed znodes where they are missing, create the guard; all within ``timeout_s``.

    Raises SessionLostError when that does not succeed, ZnodeForbiddenError when ZooKeeper refuses one of the znodes.
    """
    until = time.monotonic() + timeout_s
    try:
        if not client.start_async().wait(timeout_s):
            raise SessionLostError(f"ZooKeeper at {hosts} is not connected after {timeout_s:g} s: {trouble_of(client)}")
        make_layout(client, root, until)
        with permitted(guard):
            client.create_async(guard, holder, ephemeral=True).get(timeout=remaining_s(until))
        if security.auth is not None:
            _warn_of(open_to_everybody(client, root, until), hosts, root)
    except NoAuthError as error:
        raise ZnodeForbiddenError(forbidden(hosts, str(error), security)) from error
    except AuthFailedError as error:
        raise SessionLostError(
            f"ZooKeeper at {hosts} refuses LASTWORD_ZOOKEEPER_AUTH: no digest authentication?"
        ) from error
    except SessionClosedRequireSaslError as error:  # or another scheme: enforce.auth.schemes
        raise SessionLostError(f"ZooKeeper at {hosts} wants authentication: set LASTWORD_ZOOKEEPER_AUTH") from error
    except NoNodeError as error:
        raise SessionLostError(f"ZooKeeper at {hosts}: {_missing_znode(client, root)}") from error
    except (KazooException, KazooTimeoutError, OSError) as error:
        raise SessionLostError(f"ZooKeeper at {hosts}: no session within {timeout_s:g} s: {error!r}") from error


def forbidden(hosts: str, znode: str, security: Security) -> str:
    """What to tell a person when ZooKeeper refuses us a znode."""
    if security.auth is None:
        what_to_do = "it has an ACL; set LASTWORD_ZOOKEEPER_AUTH to the user:password that it is for"
    else:
        what_to_do = (
            "its ACL is not for the user and password of LASTWORD_ZOOKEEPER_AUTH; correct them, or the ACL, or choose "
            "another LASTWORD_ZOOKEEPER_ROOT"
        )
    return f"ZooKeeper at {hosts}: no permission for znode {znode}: {what_to_do}"


def _warn_of(znodes: list[str], hosts: str, root: str) -> None:
    # Not mended here: whoever uses them without a password, a worker that is not restarted yet, would be locked out.
    if znodes:
        log.warning(
            "ZooKeeper at %s: anybody may change znode %s (and %d more): LASTWORD_ZOOKEEPER_AUTH does not protect the "
            "locks; give them an ACL (zkCli.sh: addauth digest USER:PASSWORD, setAcl -R %s auth:USER:cdrwa), or choose "
            "another LASTWORD_ZOOKEEPER_ROOT",
            hosts,
            znodes[0],
            len(znodes) - 1,
            root,
        )


def _missing_znode(client: KazooClient, root: str) -> str:
    chroot = client.chroot
    if not chroot:
        return f"a znode under {root} was deleted while the session was being opened"
    return f"the path {chroot} at the end of that does not exist; it has to be created first"
