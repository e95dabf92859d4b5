"""compose.yaml starts what its comments say, with an environment that the worker accepts."""

import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from notification_sender.sandbox import __main__ as command
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.settings import Settings
from tools.plain_yaml import read

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "compose.schema.json").read_text())
SPECIFICATION = json.loads((Path(__file__).parent / "compose_spec" / "compose-spec.json").read_text())
COMPOSE = read((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKER: dict[str, str] = SERVICES["worker"]["environment"]


def mounts(service: str) -> dict[str, str]:
    """Paths in the container, by volume."""
    return dict(volume.split(":")[:2] for volume in SERVICES[service]["volumes"])


@pytest.fixture
async def printed(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """What the sandbox prints for a worker, with the names of compose.yaml in place of this run's addresses."""
    async with Sandbox(tmp_path, incidents=3) as sandbox:
        names = {
            sandbox.environment["NS_AAA_URL"]: f"http://sandbox:{command.PORT}",
            sandbox.inbox.smtp_url: f"smtp://sandbox:{command.PORT + 2}?starttls=none",
            str(tmp_path): mounts("sandbox")["signing-keys"],
            "127.0.0.0/8": COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"],
        }
        pattern = re.compile("|".join(map(re.escape, names)))
        yield {name: pattern.sub(lambda it: names[it[0]], value) for name, value in sandbox.environment.items()}


def test_it_keeps_the_form_of_a_compose_file_and_the_rules_of_this_project() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(COMPOSE, SCHEMA)


def test_it_is_a_compose_file_by_the_schema_of_the_specification() -> None:
    jsonschema.Draft7Validator.check_schema(SPECIFICATION)
    jsonschema.Draft7Validator(SPECIFICATION).validate(COMPOSE)


def test_the_schema_of_the_specification_refuses_a_misspelt_key_and_a_value_of_another_type() -> None:
    for change in ({"healthchek": {}}, {"command": 5}):
        changed = COMPOSE | {"services": SERVICES | {"redis": SERVICES["redis"] | change}}
        assert not jsonschema.Draft7Validator(SPECIFICATION).is_valid(changed)


@pytest.mark.parametrize(
    ("service", "change"),
    [("redis", {"healthchek": {}}), ("redis", {"ports": ["6379:6379"]}), ("worker", {"stop_grace_period": 30})],
)
def test_a_misspelt_key_a_public_port_and_a_time_without_a_unit_are_errors(
    service: str, change: dict[str, Any]
) -> None:
    changed = COMPOSE | {"services": SERVICES | {service: SERVICES[service] | change}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_every_name_that_a_service_uses_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert {it.split(":")[0] for it in service.get("volumes", ())} <= COMPOSE["volumes"].keys()
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()


async def test_the_worker_gets_what_the_sandbox_prints_and_its_own_broker_and_store(printed: dict[str, str]) -> None:
    assert {name for name in WORKER if name not in printed} == {"NS_AMQP_URL", "NS_REDIS_URL"}
    assert {name: WORKER.get(name) for name in printed} == printed


def test_the_worker_accepts_its_environment_and_has_longer_than_it_takes_to_stop(tmp_path: Path) -> None:
    settings = Settings.load(WORKER | {"NS_SECRETS_DIR": str(tmp_path)})
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > settings.grace


def test_the_worker_logs_in_to_the_broker_as_the_user_that_is_made_there() -> None:
    made = SERVICES["rabbitmq"]["environment"]
    user, password = made["RABBITMQ_DEFAULT_USER"], made["RABBITMQ_DEFAULT_PASS"]
    assert WORKER["NS_AMQP_URL"] == f"amqp://{user}:{password}@rabbitmq/"
    assert SERVICES["rabbitmq"]["hostname"] == "rabbitmq"


def test_redis_keeps_its_records_over_a_restart_and_forgets_none_to_make_room() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    assert mounts("redis") == {"redis-data": "/data"}


def test_rabbitmq_and_redis_are_of_the_versions_that_the_fault_matrix_was_run_on() -> None:
    page = (ROOT / "docs" / "reference" / "faults.md").read_text()
    versions = [SERVICES[it]["image"].partition(":")[2].partition("-")[0] for it in ("rabbitmq", "redis")]
    assert tuple(versions) in re.findall(r"RabbitMQ ([\d.]+), Redis ([\d.]+)\.$", page, re.MULTILINE)


def test_the_sandbox_listens_where_the_worker_looks_and_keeps_its_keys_where_the_worker_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["sandbox", *SERVICES["sandbox"]["command"]])
    options = command._options()
    assert (options.host, options.port) == ("sandbox", command.PORT)
    assert str(options.directory) == mounts("sandbox")["signing-keys"] == mounts("worker")["signing-keys"]
    assert SERVICES["sandbox"]["ports"] == [f"127.0.0.1:{command.PORT + 3}:{command.PORT + 3}"]


def test_the_image_of_the_sandbox_has_the_directory_of_the_keys_and_its_user_owns_it() -> None:
    target = SERVICES["sandbox"]["build"]["target"]
    [stage] = re.findall(rf"^FROM \S+ AS {target}\n(.*?)(?=^FROM)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    [(owner, group)] = re.findall(r"^USER (\d+):(\d+)$", stage, re.MULTILINE)
    assert f"RUN install -d -m 700 -o {owner} -g {group} {mounts('sandbox')['signing-keys']}\n" in stage
