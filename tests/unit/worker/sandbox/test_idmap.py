from __future__ import annotations

import os
import pwd
from pathlib import Path

from ionian.worker.sandbox.idmap import COUNT, FIRST, IdMap, root_map, subordinate

WHOLE_MACHINE = [(0, 0, 4294967295)]


def test_root_gives_a_range_far_from_its_own_ids():
    ids = root_map(WHOLE_MACHINE, WHOLE_MACHINE)
    assert (ids.host_uid, ids.host_gid, ids.count) == (FIRST, FIRST, COUNT)


def test_root_of_a_user_namespace_gives_the_end_of_its_own_range_and_never_itself():
    inside = [(0, 1000, 1), (1, 100000, 65536)]
    ids = root_map(inside, inside)
    assert ids.host_uid > 0
    assert ids.host_uid + ids.count == 65537


def test_the_first_id_inside_is_always_0():
    assert root_map(WHOLE_MACHINE, WHOLE_MACHINE).uids[0][0] == 0
    assert IdMap.current().uids[0][0] == 0


def test_an_id_inside_is_told_as_the_one_here():
    ids = IdMap(((0, 1000, 1), (1, 200000, 65535)), ((0, 1000, 1),))
    assert [ids.uid(n) for n in (0, 1, 33, 65536)] == [1000, 200000, 200032, -1]
    assert ids.gid(33) == -1


def test_nobody_is_given_the_uid_0_of_this_machine():
    assert all(first != 0 for _, first, _ in IdMap.current().uids)


def test_subordinate_ids_are_found_by_name_or_number(tmp_path: Path):
    me = pwd.getpwuid(os.getuid()).pw_name
    table = tmp_path / "subuid"
    table.write_text(f"other:1:2\n{me}:200000:70000\n")
    assert subordinate(str(table), os.getuid()) == (200000, COUNT - 1)
    table.write_text(f"{os.getuid()}:300000:1000\n")
    assert subordinate(str(table), os.getuid()) == (300000, 1000)


def test_no_line_or_no_file_is_no_subordinate_id(tmp_path: Path):
    (tmp_path / "subuid").write_text("other:1:2\nbroken\n")
    assert subordinate(str(tmp_path / "subuid"), os.getuid()) is None
    assert subordinate(str(tmp_path / "none"), os.getuid()) is None
