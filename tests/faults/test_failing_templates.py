"""A wrong template is deployed, and mended: nothing of it is lost, and nothing has to be published again."""

import shutil
from pathlib import Path

import pytest

from notification_sender.render import shipped
from notification_sender.render.failing import IN_A_ROW
from tests.e2e.command import command
from tests.e2e.fleet import Worker
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patience

UNITS = 60


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    shutil.copytree(shipped(), folder)
    return folder


@row(130, "a templates folder without the kind's own, or with one that does not compile")
@pytest.mark.parametrize("wrong", ["absent", "broken"])
async def test_a_kind_that_nothing_can_be_told_of_is_refused_at_start_and_named(
    rig: Rig, templates: Path, wrong: str
) -> None:
    if wrong == "absent":
        (templates / "intel").rename(templates / "other")
    else:
        (templates / "intel" / "webhook.json.j2").write_text("{% if %}")
    rig.environment["NS_TEMPLATES_DIR"] = str(templates)
    worker = Worker(rig.environment)
    await worker.start()
    assert await worker.ended() == 78
    told = "".join(worker.raw)
    checked = await command(rig.environment, "check")
    assert checked.code == 1
    assert "FAULT  templates" in checked.out
    for said in (told, checked.out):
        assert "intel/webhook.json.j2" in said
    if wrong == "absent":
        assert all(it in said for said in (told, checked.out) for it in ("'intel'", "for webhook", str(templates)))
        assert "intel/email.subject.j2 and intel/email.html.j2" in told


@row(130, "a template that fails for everybody is deployed, and mended")
async def test_a_few_die_the_rest_waits_and_after_the_mend_everything_is_delivered_once(
    rig: Rig, templates: Path
) -> None:
    file = templates / "intel" / "webhook.json.j2"
    well = file.read_text()
    file.write_text(f"{well}{{{{ incident.stauts }}}}")
    async with rig.workers(1, NS_TEMPLATES_DIR=str(templates)) as (worker,):
        await rig.publish(rig.units(UNITS))
        letters = await rig.broker.dead(IN_A_ROW)
        await worker.says("notification.deferred", UNITS - IN_A_ROW, reason="template_failing")
        said = await worker.says("template.failing")
        metrics = (await worker.get("/metrics")).text
        assert await worker.stop() == 0
    assert (said["level"], said["template"], said["channel"]) == ("error", "intel", "webhook")
    assert "notification_sender_templates_failing 1.0" in metrics
    assert {it.headers["x-reason"] for it in letters} == {"render"}
    assert await rig.broker.depth("dead") == 0
    file.write_text(well)
    async with rig.workers(1, NS_TEMPLATES_DIR=str(templates)):
        for letter in letters:
            await rig.broker.publish([letter.body], lane="notifications", headers=letter.headers)
        async with patience(60):
            await rig.inbox.accepts(UNITS)
        await rig.account()
    record(figure=f"{IN_A_ROW} of {UNITS} died by it and were moved back, {UNITS - IN_A_ROW} waited")
