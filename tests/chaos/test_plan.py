"""The schedule comes from the seed alone, and has every kind of fault in it."""

from .erp import ERPS
from .faults import ALL, kinds
from .plan import KILLS, Options, schedule


def test_the_same_seed_is_the_same_schedule():
    some = kinds(ERPS["sqlite"].faults)
    one, same, other = (schedule(Options(seed=seed), some) for seed in (5, 5, 6))
    assert one == same
    assert [act.fault for act in one] != [act.fault for act in other]


def test_every_kind_has_its_turn_and_ends_in_time():
    for erp in ERPS.values():
        some = kinds(erp.faults)
        assert len(some) >= 40
        acts = schedule(Options(seconds=240, every=1.5), some)
        assert {act.fault for act in acts} == {kind.name for kind in some}
        assert all(act.at + act.seconds <= 241 for act in acts)
        assert acts == sorted(acts, key=lambda act: act.at)


def test_there_is_a_kill_every_second():
    acts = schedule(Options(seconds=60, kills=1.0), kinds(ERPS["http"].faults))
    kills = [int(act.at) for act in acts if act.fault in KILLS]
    assert set(range(60)) <= set(kills)


def test_two_of_a_kind_never_overlap_nor_two_that_stop_everybody():
    acts = schedule(Options(seconds=300, every=0.3, kills=0), kinds(ERPS["http"].faults))
    until = {}
    for act in acts:
        for name in (act.fault, *(["wide"] if ALL[act.fault].wide else [])):
            assert act.at >= until.get(name, 0.0), act
            until[name] = act.at + act.seconds


def test_each_erp_has_faults_of_its_own():
    assert {one.name for one in kinds(ERPS["http"].faults)} ^ {
        one.name for one in kinds(ERPS["sqlite"].faults)
    } == {name for name in ALL if name.startswith("erp")}
