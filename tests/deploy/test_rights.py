"""The programs of ``deploy`` that write down rights: what they print and run. No command of ours is missing."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "notification_sender" / "adapters" / "redis"
IN_CODE = re.compile(r"(?:execute|send_command|each|found)\(\s*(?:self\._redis, )?\"([A-Z]+)\"")
IN_SCRIPTS = re.compile(r"redis\.p?call\(\s*[\"']([A-Za-z]+)")


def run(program: str, *arguments: str, password: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ours
        [str(ROOT / "deploy" / program), *arguments],
        input=password,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_redis_allows_every_command_that_the_code_and_the_scripts_name() -> None:
    allowed = set(re.findall(r"\+([a-z]+)", run("redis-acl", "worker", password="secret").stdout))
    code = "".join(it.read_text() for it in [*ADAPTER.glob("*.py"), ROOT / "notification_sender/adapters/clock.py"])
    scripts = "".join(it.read_text() for it in (ROOT / "lua").glob("*.lua"))
    used = {it.lower() for it in IN_CODE.findall(code) + IN_SCRIPTS.findall(scripts)}
    assert {"evalsha", "hget", "publish"} <= used | {"evalsha"}
    assert used - allowed == set()


def test_the_user_of_redis_has_its_prefix_and_a_hash_of_its_password() -> None:
    line = run("redis-acl", "worker", "fleet-2", password="secret\n").stdout
    assert line.startswith("user worker on resetpass ")
    assert f" #{hashlib.sha256(b'secret').hexdigest()} " in line
    assert " resetkeys ~fleet-2:1:* resetchannels &fleet-2:1:news:* -@all " in line
    assert "secret" not in line
    assert not re.search(r"\+(config|flush|shutdown|acl|keys|client \b|@)", line)


def test_the_user_of_rabbitmq_has_its_prefix_and_its_queue(tmp_path: Path) -> None:
    ctl = tmp_path / "rabbitmqctl"
    reads = f'[ "$2" = set_permissions ] || cat >> {tmp_path}/read'
    ctl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/said; {reads}\n')
    ctl.chmod(0o755)
    done = run("rabbitmq-user", "worker", "fleet.2", "their.queue", "prod", password="secret", RABBITMQCTL=str(ctl))
    assert (done.returncode, done.stderr) == (0, "")
    said = (tmp_path / "said").read_text().splitlines()
    assert said[:3] == ["--quiet", "add_user", "worker"]
    ours = r"fleet\.2\..*|their\.queue"
    assert said[3:] == [
        "--quiet", "set_permissions", "--vhost", "prod", "worker",
        f"^({ours})$", rf"^({ours}|amq\.default)$", f"^({ours})$",
    ]  # fmt: skip
    assert (tmp_path / "read").read_text() == "secret\n"


def test_without_a_password_nothing_is_done() -> None:
    for program in ("redis-acl", "rabbitmq-user"):
        done = run(program, "worker", password="", RABBITMQCTL="/bin/false")
        assert (done.returncode, done.stdout) == (2, "")
        assert "no password" in done.stderr
