"""The addresses of servers that run already: all or none, shown without secrets, refused when nobody listens."""

import pytest

from servers import Addresses, ServerError
from servers.ports import free_port

GIVEN = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092,kafka-2:9092",
    "ZOOKEEPER_HOSTS": "zookeeper:2181/shop",
    "REDIS_URL": "rediss://reader:s3cret@cache:6380/2",
    "CELERY_BROKER_URL": "amqp://guest:s3cret@rabbit:5672//",
}


def test_an_environment_that_names_none_gives_none() -> None:
    assert Addresses.given({"HOME": "/"}) is None
    assert Addresses.given(dict.fromkeys(GIVEN, "")) is None


def test_an_environment_that_names_all_gives_them_back() -> None:
    given = Addresses.given(GIVEN)
    assert given is not None
    assert given.environment == GIVEN
    assert given.redis_address == "cache:6380"


@pytest.mark.parametrize("missing", GIVEN)
def test_one_that_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ServerError, match=f"not {missing}:") as raised:
        Addresses.given({name: value for name, value in GIVEN.items() if name != missing})
    assert "s3cret" not in str(raised.value)


def test_a_redis_that_is_not_a_single_one_is_refused() -> None:
    with pytest.raises(ServerError, match=r"redis\+cluster.*a single Redis only") as raised:
        Addresses.given(GIVEN | {"REDIS_URL": "redis+cluster://reader:s3cret@cache:6380"})
    assert "s3cret" not in str(raised.value)


def test_passwords_are_not_shown() -> None:
    given = Addresses.given(GIVEN)
    assert "s3cret" not in f"{given} {given!r}"
    assert "kafka-1:9092,kafka-2:9092" in str(given)
    assert "//rabbit:5672//" in str(given)


@pytest.mark.parametrize("name", GIVEN)
def test_a_server_that_is_not_there_is_named(name: str) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    value = {
        "KAFKA_BOOTSTRAP_SERVERS": f"{nowhere},{nowhere}",
        "ZOOKEEPER_HOSTS": f"{nowhere}/shop",
        "REDIS_URL": f"redis://:s3cret@{nowhere}/0",
        "CELERY_BROKER_URL": f"amqp://guest:s3cret@{nowhere}//",
    }[name]
    # No port can be read in the others: they are not tried.
    given = Addresses.given(dict.fromkeys(GIVEN, "unix:///run/redis.sock") | {name: value})
    assert given is not None
    with pytest.raises(ServerError, match=f"{name}: nobody listens at {nowhere}") as raised:
        given.refuse_unreachable()
    assert "s3cret" not in str(raised.value)
