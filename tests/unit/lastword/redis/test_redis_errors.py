"""Which errors of Redis mean that the server does not serve us, and what is said of each."""

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from lastword.redis.errors import NotPrimaryError, code_of, explain, is_refusal


def answered(text: str) -> RedisError:
    """What redis-py makes of a server's error."""
    error = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    assert isinstance(error, RedisError)
    return error


REFUSALS = {
    "READONLY You can't write against a read only replica.": "READONLY",
    "READONLY You can't write against a read only replica. script: 4a, on @user_script:49.": "READONLY",
    "ERR Error running script (call to f_4a): @user_script:9: @user_script: 9: -READONLY You can't write": "READONLY",
    "ERR Error running script (call to f_4a): @user_script:9: @user_script: 9: -OOM command not allowed": "OOM",
    "OOM command not allowed when used memory > 'maxmemory'.": "OOM",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.": "MISCONF",
    "NOREPLICAS Not enough good replicas to write.": "NOREPLICAS",
    "LOADING Redis is loading the dataset in memory": "LOADING",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "MASTERDOWN",
    "CLUSTERDOWN Hash slot not served": "CLUSTERDOWN",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "BUSY",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": "UNBLOCKED",
    "NOPERM this user has no permissions to run the 'evalsha' command": "NOPERM",
    "NOAUTH Authentication required.": "NOAUTH",
    "WRONGPASS invalid username-password pair or user is disabled.": "WRONGPASS",
    "ERR max number of clients reached": "MAXCLIENTS",
    "ERR unknown command 'EVALSHA'": "ResponseError",
    "upstream failure": "ResponseError",  # a proxy's own
}

OF_ONE_KEY = {
    "WRONGTYPE Operation against a key holding the wrong kind of value": "WRONGTYPE",
    "NOSCRIPT No matching script. Please use EVAL.": "NOSCRIPT",
    "EXECABORT Transaction discarded because of previous errors.": "EXECABORT",
}

ELSEWHERE = {
    "MOVED 3999 127.0.0.1:6381": "MOVED",
    "ASK 3999 127.0.0.1:6381": "ASK",
    "TRYAGAIN Multiple keys request during rehashing of slot": "TRYAGAIN",
}


@pytest.mark.core
@pytest.mark.parametrize(("text", "code"), REFUSALS.items())
@pytest.mark.parametrize("of_cluster", [False, True])
def test_a_server_that_does_not_serve(text: str, code: str, *, of_cluster: bool) -> None:
    assert code_of(answered(text)) == code
    assert is_refusal(answered(text), of_cluster=of_cluster)


@pytest.mark.core
@pytest.mark.parametrize(("text", "code"), OF_ONE_KEY.items())
def test_what_is_wrong_with_one_key_or_script_says_nothing_of_the_server(text: str, code: str) -> None:
    assert code_of(answered(text)) == code
    assert not is_refusal(answered(text))


@pytest.mark.core
@pytest.mark.parametrize(("text", "code"), ELSEWHERE.items())
def test_a_redirection_is_a_clusters_way_and_a_lone_servers_refusal(text: str, code: str) -> None:
    assert code_of(answered(text)) == code
    assert not is_refusal(answered(text), of_cluster=True)
    assert is_refusal(answered(text))


def test_a_connection_that_failed_is_a_refusal() -> None:
    for error in (RedisConnectionError("Connection refused"), RedisTimeoutError("Timeout reading from socket")):
        assert is_refusal(error)
        assert code_of(error) == type(error).__name__


def test_a_replica_is_one_thing_whoever_says_so() -> None:
    assert code_of(NotPrimaryError("it is a replica")) == "READONLY"
    assert "the primary must be found at this address" in explain(NotPrimaryError("it is a replica"))


def test_a_lone_server_that_became_a_clusters_says_which_url_it_wants() -> None:
    assert "redis+cluster://" in explain(answered("MOVED 3999 127.0.0.1:6381"))


def test_an_answer_that_is_none_of_redis_is_said_to_be_another_servers() -> None:
    error = InvalidResponse('Protocol error, got "A" as reply type byte')
    assert explain(error).endswith("(what answers there is not Redis)")
