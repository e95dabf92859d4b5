from notification_sender.policy.restarts import WELL_SECONDS, RestartPause


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    pause = RestartPause()
    assert [pause.after(ran=0.5) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_after_a_process_ran_well_it_begins_anew() -> None:
    pause = RestartPause()
    assert [pause.after(ran) for ran in (1, 1, WELL_SECONDS - 1, WELL_SECONDS, 1)] == [1, 2, 4, 1, 2]
