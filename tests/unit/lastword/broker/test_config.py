"""Celery's settings that somebody has changed: each is named, no secret is, and what could not work is refused."""

from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import Exchange, Queue

from lastword import celeryconfig
from lastword.broker.config import EXPECTED, LEFT_TO_CELERY, mind_foreign_settings
from lastword.settings.shared import SettingsError

OTHER_QUEUE = [Queue("other", Exchange("other"), routing_key="other")]


def app_with(**changed: object) -> Celery:
    """An application with our settings, but for these."""
    app = Celery("test-config", set_as_current=False)
    app.config_from_object(SimpleNamespace(**{n: v for n, v in vars(celeryconfig).items() if n.islower()} | changed))
    return app


def differences(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is said to differ, without the file's name."""
    said = capsys.readouterr().err.splitlines()
    return [line.partition("celeryconfig.py: ")[2] for line in said if "Lastword's own is" in line]


def test_nothing_is_said_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    mind_foreign_settings(app_with())
    assert not capsys.readouterr().err


def test_what_is_left_to_celery_is_as_celery_has_it() -> None:
    bare = Celery("test-bare", set_as_current=False).conf
    assert {name: bare.get(name) for name in LEFT_TO_CELERY} == LEFT_TO_CELERY
    assert not [name for name in LEFT_TO_CELERY if name in EXPECTED or hasattr(celeryconfig, name)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"task_routes": {"tasks.*": "other"}}, "task_routes is {'tasks.*': ...}; Lastword's own is None"),
        ({"task_queues": OTHER_QUEUE}, "task_queues is ['other']; Lastword's own is None"),
        ({"task_queues": {"a": {}, "lastword": {}}}, "task_queues is ['a', 'lastword']; Lastword's own is None"),
        ({"task_serializer": "pickle"}, "task_serializer is 'pickle'; Lastword's own is 'json'"),
        ({"control_exchange": "theirs"}, "control_exchange is 'theirs'; Lastword's own is 'celery'"),
        ({"worker_eta_task_limit": 5}, "worker_eta_task_limit is 5; Lastword's own is None"),
        (
            {"broker_transport_options": celeryconfig.broker_transport_options | {"global_keyprefix": "x"}},
            "broker_transport_options['global_keyprefix'] is 'x'; Lastword's own is None",
        ),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_differs_is_named(capsys: pytest.CaptureFixture[str], changed: dict[str, object], said: str) -> None:
    mind_foreign_settings(app_with(**changed))
    assert differences(capsys) == [said]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hunter2@h:1/7", "redis://me:**@h:1/7"),
        ("redis://:hun/ter2?#@h:1/7", "redis://:**@h:1/7"),
        ("redis://h:1/7?password=hunter2", "redis://h:1/7"),
        ("sentinel://:hunter2@a:1/7;sentinel://:hunter2@b:1/7", "sentinel://:**@a:1/7;sentinel://:**@b:1/7"),
    ],
)
@pytest.mark.parametrize("name", ["broker_url", "broker_read_url", "broker_write_url"])
def test_another_broker_is_named_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, url: str, shown: str
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    mind_foreign_settings(app_with(**{name: url}))
    [said] = differences(capsys)
    assert said.startswith(f"{name} is '{shown}'; ")


def test_a_broker_that_the_environment_overrides_is_none_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", celeryconfig.broker_url)
    mind_foreign_settings(app_with(broker_url="redis://h:1/7"))
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"task_default_queue": "celery"}, "no task would arrive: the queue is 'celery', Celery's own default"),
        ({"accept_content": ["msgpack"]}, "no task would be taken: they are JSON"),
        (
            {"task_queues": OTHER_QUEUE, "task_create_missing_queues": False},
            f"no task would arrive: '{celeryconfig.task_default_queue}' is not in task_queues",
        ),
        ({"task_always_eager": True}, "no task could be tried again after a pause"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
)
def test_what_could_not_work_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(SettingsError, match=f"celeryconfig.py: {reason}"):
        mind_foreign_settings(app_with(**changed))
